"""Strict parameters: typed, frozen, with the paper's defaults; what is wrong is refused before anything starts."""

import dataclasses
import operator
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints
from unicodedata import category

from repro.configs.references import MARK, Reference, Source, parse_reference
from repro.errors import LARGEST, UsageError, unknown
from repro.progress import note_once

BOUNDS = {"low": ("at least", operator.ge), "above": ("more than", operator.gt)} | {
    "high": ("at most", operator.le),
    "below": ("less than", operator.lt),
}

Kind = Literal["protocol", "data", "seed"]


def parameter(
    default: Any,
    doc: str,
    *,
    kind: Kind = "protocol",
    identifies: bool = True,
    file: Literal["", "content", "listing"] = "",
    formerly: str = "",
    before: Any = dataclasses.MISSING,
    today: Mapping[Any, Any] | None = None,
    **bounds: float,
) -> Any:
    """Declare a field of a `Parameters` class: its default, one line with its unit, and its bounds.

    kind: what another value changes: how it is computed, on which data, or the random draws alone.
    identifies: False where another value does not make another run, so that it may change from session to session.
    file: for one that may name a file or folder, what tells it from another: its content, or for folders of many
        pictures the names and sizes of all files in it.
    formerly: the name that it had in older runs, still read.
    before: its value in runs made before it was a parameter; a run that lacks one without it cannot be read.
    today: what values are called now that had another name in older runs.
    bounds: `low` and `high` are inclusive, `above` and `below` exclusive.
    """
    if isinstance(default, str) and default.startswith(MARK):
        default = parse_reference(default)
    facts = {"doc": doc, "kind": kind, "identifies": identifies, "file": file, "bounds": bounds}
    facts |= {"formerly": formerly, "before": before, "today": today}
    return dataclasses.field(default=default, metadata=facts)


@dataclasses.dataclass(frozen=True)
class Parameters:
    """All parameters of an experiment; fields are int, float, bool, str, Source, Literal or tuple[number, ...]."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # values of the parameter `preset`: other defaults
    IDLE: ClassVar[Mapping[str, Mapping[Any, tuple[str, ...]]]] = {}  # parameter, its value: what then has no effect

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """Make the parameters from `values` over the defaults; UsageError names a wrong name, type or value."""
        hints, values = _hints(cls), cls.renamed(values)
        checked = {name: _checked(name, hints[name], value) for name, value in values.items()}
        for field in dataclasses.fields(cls):
            _check_bounds(field, checked.get(field.name, field.default))
        params = cls(**checked)
        params.check()
        return params

    def check(self) -> None:
        """Refuse, with UsageError, values that do not go together though each of them is right."""

    @classmethod
    def like(cls, other: "Parameters", **changes: Any) -> Self:
        """Return the parameters with every value of `other` that they have too, then these changes."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls.build({**{name: value for name, value in other.values().items() if name in names}, **changes})

    @classmethod
    def read(cls, values: Mapping[str, Any], *, older: bool = False) -> Self:
        """Make the parameters of a run on disk: former names are read, and what is lacking has its value from before.

        older: whether the run was made before descriptions had a version, when some values had other names.
        UsageError for a lacking one that tells runs apart, where that value is not known.
        """
        held = cls.renamed(values)
        for field in dataclasses.fields(cls):
            before, today = field.metadata["before"], field.metadata["today"]
            if older and field.name in held:
                held[field.name] = today.get(held[field.name], held[field.name]) if today else held[field.name]
            if field.name in held or not field.metadata["identifies"]:
                continue
            if before is dataclasses.MISSING:
                raise UsageError(f"{field.name} is missing, and its value before it was a parameter is not known")
            held[field.name] = before
        return cls.build(held)

    @classmethod
    def preset_of(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the defaults that the preset among `values` changes."""
        return cls.PRESETS.get(str(values.get("preset")), {})

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> dict[str, Any]:
        """Turn the texts of a command line (`order=1`) into values of the declared types."""
        hints = _hints(cls)
        return {name: _parsed(name, hints[name], text) for name, text in cls.renamed(texts, note_once).items()}

    @classmethod
    def renamed(cls, values: Mapping[str, Any], say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
        """Return `values` under today's names, former ones told by `say`; UsageError for one that never was a name."""
        fields = [field for field in dataclasses.fields(cls) if field.metadata["formerly"]]
        today = {field.metadata["formerly"]: field.name for field in fields}
        found: dict[str, Any] = {}
        for name, value in values.items():
            new = name if name in _hints(cls) else today.get(name)
            if new is None:
                raise unknown("parameter", name, _hints(cls))
            if new in found:
                former = next(old for old, name in today.items() if name == new)
                raise UsageError(f"{new} is given twice, once by its former name {former}: leave one out")
            if new != name:
                say(f"{name} is called {new} now")
            found[new] = value
        return found

    def refuse_idle(self, changed: Mapping[str, Any]) -> None:
        """UsageError if one of the `changed` values, by name, has no effect beside the value of another parameter."""
        for switch, settings in self.IDLE.items():
            for name in settings.get(getattr(self, switch), ()):
                if name in changed:
                    value, setting = changed[name], getattr(self, switch)
                    what = f"{name}={value} has no effect with {switch}={setting}"
                    raise UsageError(f"{what}: leave it out, or change {switch}")

    def values(self) -> dict[str, Any]:
        """Return every value by name, tuples as lists and references as text: what params.json holds."""
        held = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: plain(value) for name, value in held.items()}

    @classmethod
    def kinds(cls) -> dict[str, Kind]:
        """Return what each parameter that tells runs apart changes, by its name."""
        fields = [field for field in dataclasses.fields(cls) if field.metadata["identifies"]]
        return {field.name: field.metadata["kind"] for field in fields}

    @classmethod
    def files(cls) -> dict[str, str]:
        """Return the parameters that may name a file or folder, and what of it counts: `content` or `listing`."""
        return {field.name: field.metadata["file"] for field in dataclasses.fields(cls) if field.metadata["file"]}

    def identity(self) -> dict[str, Any]:
        """Return the values that make the run what it is, by name: two runs with the same ones are one."""
        return self.part("protocol", "data", "seed")

    def part(self, *kinds: Kind) -> dict[str, Any]:
        """Return the part of the identity that is of these kinds."""
        names = {name for name, kind in self.kinds().items() if kind in kinds}
        return {name: value for name, value in self.values().items() if name in names}


def expected(hint: Any) -> str:
    """Say in words what a declared type takes."""
    if hint in (Source, Reference):
        return f"{'a run' if hint is Reference else 'a text in one line, or a run'}: {MARK}EXPERIMENT/key=value,..."
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {get_args(hint)[0].__name__} with at least one entry"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text in one line"}[hint]


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    hints = get_type_hints(cls)
    return types.MappingProxyType({field.name: hints[field.name] for field in dataclasses.fields(cls)})


def _checked(name: str, hint: Any, value: Any) -> Any:
    """Return `value` if it is of the declared type (a whole number passes for a float, a list for a tuple)."""
    if get_origin(hint) is tuple and isinstance(value, list | tuple) and value:
        entries = tuple(_checked(name, get_args(hint)[0], entry) for entry in value)
        if twice := [entry for entry in entries if entries.count(entry) > 1]:
            raise UsageError(f"{name}={plain(entries)} holds {twice[0]} more than once: leave the others out")
        return entries
    if get_origin(hint) is Literal and not isinstance(value, bool) and value in get_args(hint):
        return value
    if hint is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    if hint in (Source, Reference) and isinstance(value, Reference):
        return value
    if hint is Reference or (hint == Source and str(value).startswith(MARK)):
        return parse_reference(_checked(name, str, value))
    if hint in (str, Source) and type(value) is str and not any(category(char) in ("Cc", "Cs") for char in value):
        return value
    if hint in (int, bool) and type(value) is hint:
        return value
    raise UsageError(f"{name}={value!r} is wrong: {name} takes {expected(hint)}")


def plain(value: Any) -> Any:
    """Return a value as JSON holds it."""
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Reference) else value


def _parsed(name: str, hint: Any, text: str) -> Any:
    if get_origin(hint) is Literal:
        value: Any = next((choice for choice in get_args(hint) if str(choice) == text), text)
    elif get_origin(hint) is tuple:
        value = [_parsed(name, get_args(hint)[0], entry) for entry in text.split(",")]
    elif hint is bool:
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif hint in (int, float):
        try:
            value = hint(text)
        except ValueError:
            value = text
    else:
        value = text
    return _checked(name, hint, value)


def _check_bounds(field: dataclasses.Field, value: Any) -> None:
    bounds = field.metadata["bounds"]
    for entry in value if isinstance(value, tuple) else (value,):
        if not all(BOUNDS[kind][1](entry, bound) for kind, bound in bounds.items()):
            words = " and ".join(f"{BOUNDS[kind][0]} {bound:g}" for kind, bound in bounds.items())
            raise UsageError(f"{field.name}={entry!r} is out of range: it must be {words}")
        if isinstance(entry, int | float) and abs(entry) > LARGEST:
            raise UsageError(f"{field.name}={entry!r} is out of range: it must be at most {LARGEST:,}")
