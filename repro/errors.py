"""The two errors a user may see: each is one line that gives the value, what was expected and what to do."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

MOST = 1500  # characters of a message
LARGEST = 10**15  # number: sums and products with small ones still fit into 64 bits, and into single precision
AGAIN = "the same command goes on from the last checkpoint"  # where a run was ended early


class ReproError(Exception):
    """Something outside the code is wrong (a file, the data, the machine); exit status 1."""

    status = 1
    trace = ""  # the traceback, where that is another process's

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: a traceback that ends in the line alone, where others' have the name before it."""
        return [*"".join(traceback.format_exception(self)).splitlines(), line(self)]


class UsageError(ReproError):
    """The command or a parameter is wrong; nothing was started; exit status 2."""

    status = 2


class Diverged(ReproError):
    """The numbers of a training are finite no more: another try would end alike."""


# What reading may raise where another wrote: files missing or damaged, names, types and sizes that are not expected
FOREIGN = (ReproError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def is_number(value: object) -> bool:
    """Whether a value of JSON is a number of a size that can be computed with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def broken_numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in a value of JSON that are not finite, each after the name nearest to it."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from broken_numbers(entry, key)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from broken_numbers(entry, name)
    elif isinstance(value, float) and not isfinite(value):
        yield name, value


def line(error: BaseException | str) -> str:
    """Return an error as one line of bounded length: what a terminal would act on is shown, not sent to it."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."


def is_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of the GPU is used up."""
    words = ("can't allocate memory", "Storage size calculation overflowed", "out of memory")
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)


def told(error: BaseException) -> str:
    """Return as one line an error that is no fault of the code: a ReproError, or one of the machine. Else nothing."""
    if isinstance(error, ReproError):
        return line(error)
    if "Too many open files" in str(error):
        return "too many files are open at a time: raise the limit by `ulimit -n 4096`, or run fewer at a time"
    if is_memory(error):
        return "the memory of this machine is used up: end other programs, or take smaller sizes"
    return line(error) if isinstance(error, OSError) else ""


def unreadable(error: BaseException, kind: str) -> str:
    """Say why a file cannot be read as a `kind`; the words of the library that tried would advise to trust it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the memory is used up" if is_memory(error) else f"it is damaged, or no {kind}"


def unknown(kind: str, name: str, known: Iterable[str], error: type[ReproError] = UsageError) -> ReproError:
    """Make the error for a `name` that is not among the `known` ones, led by the nearest right one."""
    known = list(known)
    return error(f"unknown {kind} {name!r}: {nearest(name, known)}choose one of {', '.join(known)}")


def nearest(name: object, known: Iterable[str]) -> str:
    """Return the question whether the known name nearest to `name` was meant; nothing where none is near."""
    near = get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}? " if near else ""
