"""Every experiment by name, in the order of the notebooks: the records that the modules of this package hold."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from repro import configs
from repro.configs.record import Experiment
from repro.configs.references import Reference
from repro.errors import unknown

WITHOUT = ("registry", "profiles")  # modules that hold no record, since they read this one


def _records() -> Iterator[Experiment]:
    """Go through the records of all modules beside this one."""
    for name in (module.name for module in iter_modules(configs.__path__) if module.name not in WITHOUT):
        values = vars(import_module(f"{configs.__name__}.{name}")).values()
        yield from (value for value in values if isinstance(value, Experiment))


EXPERIMENTS: Mapping[str, Experiment] = {
    each.name: each for each in sorted(_records(), key=lambda each: (each.notebook, each.name))
}


def find(name: str) -> Experiment:
    """Return the experiment of that name; UsageError suggests the nearest right one."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def typed(reference: Reference) -> tuple[Experiment, dict[str, Any]]:
    """Return the experiment of a reference and its changes with their types; UsageError names what is wrong in them."""
    experiment = find(reference.experiment)
    return experiment, experiment.parameters.parse(dict(reference.changes))
