"""The genotype that a parameter names: a published cell, a JSON file, or what a finished run found."""

from repro.genotypes import ConvGenotype, from_json, load
from repro.runs import find_needed


def find_genotype(name: str, profile: str) -> ConvGenotype:
    """Return the cell called `name` (see `hyperparameters`); ReproError if it is none of the three."""
    if name.startswith("run:"):
        return from_json(find_needed(name, profile).load("genotype.json"))
    return load(name)
