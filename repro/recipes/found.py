"""The genotype that a parameter names: a published cell, a JSON file, or what a finished run found."""

from repro.errors import UsageError
from repro.genotypes import ConvGenotype, Genotype, RecurrentGenotype, from_json, load
from repro.references import Reference, Source
from repro.runs import find_needed


def find_genotype(name: Source, profile: str, kind: type[Genotype] = ConvGenotype) -> Genotype:
    """Return the cell of a `kind` called `name` (see `hyperparameters`); ReproError if it is none of the three."""
    is_run = isinstance(name, Reference)
    found = from_json(find_needed(name, profile).load("genotype.json")) if is_run else load(name)
    if not isinstance(found, kind):
        words = ("convolutional", "recurrent")
        is_a, needed = words if kind is RecurrentGenotype else reversed(words)
        raise UsageError(f"genotype={name} is a {is_a} cell, and a {needed} one is needed")
    return found
