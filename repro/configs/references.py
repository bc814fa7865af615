"""References to runs as values: `run:NAME` or `run:NAME/key=value,...`, read once, where parameters are read.

Values are texts, as on a command line, or references themselves; the experiment's parameters give them their types.
A value that has commas itself stands in parentheses: `run:cifar10-select/search=(run:cifar10-search/order=1,seed=3)`.
"""

from dataclasses import dataclass
from typing import Any

from repro.errors import UsageError

MARK = "run:"


@dataclass(frozen=True)
class Reference:
    """A run of an experiment, in the profile of the run that names it: what differs from the profile's parameters."""

    experiment: str
    changes: tuple[tuple[str, "str | Reference"], ...] = ()

    def __str__(self) -> str:
        changes = ",".join(f"{key}={f'({value})' if ',' in str(value) else value}" for key, value in self.changes)
        return f"{MARK}{self.experiment}" + (f"/{changes}" if changes else "")

    def changed(self, **values: Any) -> "Reference":
        """Return the same run with other values."""
        return reference(self.experiment, **{**dict(self.changes), **values})


Source = str | Reference  # what a parameter names: a published thing, a file, or what a run found


def reference(experiment: str, **values: Any) -> Reference:
    """Return the reference to a run with these values of its parameters, lists and tuples of them included."""
    return Reference(experiment, tuple((name, _value(value)) for name, value in values.items()))


def parse_reference(text: Source) -> Reference:
    """Read `run:NAME/key=value,...`; UsageError names what is wrong in it. A reference is returned as it is."""
    if isinstance(text, Reference):
        return text
    name, _, changes = text.removeprefix(MARK).partition("/")
    pairs = [pair.partition("=") for pair in _split(text, changes)]
    if bad := next((key for key, equals, _ in pairs if not equals), None):
        raise UsageError(f"{text!r}: {bad!r} is not of the form key=value")
    return reference(name, **{key: _bare(value) for key, _, value in pairs})


def _value(value: Any) -> "str | Reference":
    if isinstance(value, Reference):
        return value
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return parse_reference(text) if text.startswith(MARK) else text


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _split(text: str, changes: str) -> list[str]:
    """Cut at the commas that stand in no parentheses; UsageError where these do not match."""
    parts, depth = [""], 0
    for char in changes:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            break
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if depth:
        raise UsageError(f"{text!r}: its parentheses do not match")
    return [part for part in parts if part]
