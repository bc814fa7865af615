"""What a claim consists of: lines, each with its arms, the kind of its interval, the units that decide, and bounds."""

from dataclasses import dataclass, field
from typing import Literal

from repro.results.arms import Arm, Measure

# How effect and interval are computed; see `verdicts.estimate`
Kind = Literal["paired", "Welch", "one sample", "best of four", "variance ratio", "exact"]


@dataclass(frozen=True)
class Size:
    """A profile whose runs may decide: the bounds of errors on CIFAR-10 are `scale` times those that a line states."""

    name: str
    scale: float
    why: str = ""


# Largest first. The scale of a reduced size is set once, before its runs: the spread of eight random cells, in
# points, if that is below 0.7 or above 1.5, else 1
SIZES = (
    Size("paper", 0.2, "networks of the papers' size differ by less"),
    Size("short", 1.0),
    Size("desk", 1.59, "so many points is the standard deviation of eight trial cells that no line looks at"),
)
NAMES = tuple(size.name for size in SIZES)


@dataclass(frozen=True)
class Line:
    """One comparison. Its effect counts in the claimed direction: what holds is above the bound L."""

    id: str
    effect: str  # what is subtracted from what
    kind: Kind
    looks: tuple[tuple[int, int], ...]  # units that decide at the first and at the second look: of each arm, or of all
    measures: tuple[Measure, ...]
    arms: tuple[Arm, ...] = ()
    m: int = 1  # trainings of a unit
    lower: float = 0.0  # L: the least that the claim needs
    upper: float = 0.5  # U: the smallest effect that would matter
    gated: bool = False  # said only where the random cells can be told apart
    paper: float | None = None  # the effect of the paper's own numbers
    lacks: str = ""  # without arms: what no run gives yet
    sizes: tuple[str, ...] = NAMES

    def look(self, number: int) -> tuple[int, ...]:
        """Return how many units of each arm the look 0 or 1 takes."""
        looks = self.looks if len(self.looks) > 1 else self.looks * max(len(self.arms), 1)
        return tuple(look[number] for look in looks)

    def bounds(self, size: Size) -> tuple[float, float]:
        """Return L and U at a size."""
        scale = size.scale if any(measure.scaled for measure in self.measures) else 1.0
        return scale * self.lower, scale * self.upper

    def lacking(self, profile: str) -> str:
        """Return why no run of a profile can answer the line; empty where runs can."""
        if not self.arms:
            return self.lacks
        return "" if all(arm.variants(profile) for arm in self.arms) else f"its parameters at {profile} are not chosen"


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, or of the field since, in our words; it holds if all of the lines that decide it do."""

    id: str
    paper: Literal["DARTS", "SPOS", "since"]
    place: str
    words: str
    lines: tuple[Line, ...] = field(default_factory=tuple)

    def at(self, profile: str) -> tuple[Line, ...]:
        """Return the lines that are asked in a profile."""
        return tuple(line for line in self.lines if profile in line.sizes)
