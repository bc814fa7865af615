"""The genotype that a parameter names: a published cell, a JSON file, or what a finished run found."""

from repro.genotypes import ConvGenotype, Genotype, from_json, load, of_kind
from repro.references import Reference, Source
from repro.runs import find_needed


def find_genotype(name: Source, profile: str, kind: type[Genotype] = ConvGenotype) -> Genotype:
    """Return the cell of a `kind` called `name` (see `hyperparameters`); ReproError if it is none of the three."""
    is_run = isinstance(name, Reference)
    found = from_json(find_needed(name, profile).load("genotype.json")) if is_run else load(name)
    return of_kind(found, kind, name)
