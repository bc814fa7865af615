"""What is known of an experiment, in one place: parameters, sizes, hours, published rows, notebook and recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from repro.configs.parameters import Parameters
from repro.configs.references import Reference, reference

Changes = Mapping[str, Any]  # to parameters, by name
Planned = tuple[str, Changes, tuple[int, ...]]  # an experiment, changes to a profile's parameters, seeds (none: once)

DAY = 24.0  # hours
KINDS = ("published", "derived", "assumed")  # of hours, the surest first
NOT_STATED = "not stated; counted as"
ONE_CORE = "measured on one core, by its share of the profile's work"
STEPS = "some dozens of steps; counted as 72 seconds"
CELL, RECURRENT_CELL = "a convolutional cell", "a recurrent cell"  # what runs give
SUPERNET, PATH = "a supernet", "a path of a supernet"
SIZE = {"params_millions": "parameters_millions"}  # a measure of every network


@dataclass(frozen=True)
class Hours:
    """Hours of a whole run, of a GPU or a core, how they are known, and the millions of parameters in a checkpoint."""

    hours: float
    kind: str  # one of KINDS, or `shipped`: measured before, and written into the record
    source: str
    millions: float = 0.0
    where: Changes = field(default_factory=dict)  # for these values of parameters


@dataclass(frozen=True)
class Row:
    """What the run of a published row changes in a profile's parameters.

    width: for the cell of others in DARTS's own setup, the parameter that is its width.
    """

    changes: Changes = field(default_factory=dict)
    width: str = ""


@dataclass(frozen=True)
class Experiment:
    """One experiment of a paper: a notebook that narrates it and a recipe that computes it."""

    name: str
    title: str
    section: str  # where in the paper
    claim: str  # what the paper found; a number in braces is one of `results.published`
    cost: str  # what the paper paid
    hours: tuple[Hours, ...]  # the same as numbers; of several the first whose values a run has
    parameters: type[Parameters]  # their defaults are the paper's
    notebook: str
    recipe: str  # "module:function" in repro.experiments, taking (params, run) and returning the result
    sizes: Mapping[str, Changes] = field(default_factory=dict)  # profile -> what it changes in the paper's parameters
    smoke_seconds: float = 0.0  # of a run at smoke with its notebook, beside another one on two cores; 0: not measured
    desk_hours: tuple[Hours, ...] = ()  # of a core at desk; as `hours`
    measures: Mapping[str, str] = field(default_factory=dict)  # published column -> entry of result.json; first: main
    rows: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)  # published table -> id of a row -> its run
    gives: str = ""  # what a parameter of another experiment may name its run for, such as CELL
    searches: bool = False  # whether its time is what a table calls search cost
    # what a reference in a parameter means where it does not say so: {"supernet": {"space": "blocks"}}
    fills: Mapping[str, Changes] = field(default_factory=dict)

    def references(self, params: Parameters) -> dict[str, Reference]:
        """Return the runs that the parameters name, by the parameter's name, with what they mean unsaid."""
        return {
            name: reference(value.experiment, **{**self.fills.get(name, {}), **dict(value.changes)})
            for name, value in vars(params).items()
            if isinstance(value, Reference)
        }

    def needs(self, params: Parameters) -> list[Reference]:
        """Return the runs that must be finished first: those named, a search once for each of its `search_seeds`."""
        named, seeds = self.references(params).values(), getattr(params, "search_seeds", None)
        return [each.changed(seed=seed) for each in named for seed in seeds] if seeds else [*named]

    def compute(self, params: Parameters, run: Any) -> dict[str, Any]:
        """Run the recipe and return its headline numbers."""
        module, function = self.recipe.split(":")
        return getattr(import_module(f"repro.experiments.{module}"), function)(params, run)


def best_of(search: str, data: str = "cifar10") -> dict[str, str]:
    """Return the parameter that names the best cell of several searches."""
    return {"genotype": f"run:{data}-select/search={f'({search})' if ',' in search else search}"}
