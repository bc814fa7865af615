"""Evolutionary architecture search (SPOS Sect. 3, Algorithm 1): find the best gene of a space within hard budgets.

Each generation tries networks never tried before: mutants of the best seen so far, crossings of two of them, and random
ones for the rest. With no parents it is random search. The draws of a generation depend on the seed and its index only,
so a search replays exactly: repeat it with the scores that are known, and only what is new is evaluated.

Equals `spos.plain.next_population`; held by `test_evolution.py::test_every_generation_is_that_of_algorithm_1`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from repro.errors import ReproError, UsageError
from repro.spaces.space import Budget, Gene, Space

Evaluate = Callable[[Gene], float]  # higher is better
RANDOM_TRIES = 100  # uniform draws before a random candidate is made to fit, and for one that is new


@dataclass(frozen=True)
class Settings:
    """The numbers of the search; the defaults are the paper's. UsageError if they do not go together."""

    generations: int = 20
    population: int = 50
    parents: int = 10  # the best of all seen; 0 for random search
    mutation: int = 25
    crossover: int = 25
    mutation_probability: float = 0.1  # of a new choice at each place of a mutant
    tries: int = 10  # for each child to be new and within the budgets

    def __post_init__(self) -> None:
        if self.population < 1 or (self.parents and self.mutation + self.crossover > self.population):
            raise UsageError(
                f"{self.mutation} mutants and {self.crossover} crossings do not fit into a population of "
                f"{self.population}: lower them or raise it"
            )


@dataclass(frozen=True)
class SearchState:
    """A search after `index` generations: the last population and the score of every gene tried, in order."""

    seed: int
    index: int = 0
    population: tuple[Gene, ...] = ()
    scores: Mapping[Gene, float] = field(default_factory=dict)

    def best(self, count: int) -> list[Gene]:
        """Return the `count` best genes of all tried, best first; the earlier of two that are equal."""
        return sorted(self.scores, key=self.scores.__getitem__, reverse=True)[:count]


def search(
    space: Space, evaluate: Evaluate, *, seed: int, settings: Settings | None = None, budgets: Sequence[Budget] = ()
) -> SearchState:
    """Run all generations. To resume, call it again with an `evaluate` that remembers (see `remembered`)."""
    settings, state = settings or Settings(), SearchState(seed)
    while state.index < settings.generations:
        state = generation(state, evaluate, space, settings, budgets)
    return state


def generation(
    state: SearchState, evaluate: Evaluate, space: Space, settings: Settings, budgets: Sequence[Budget] = ()
) -> SearchState:
    """Propose a population, evaluate it gene by gene and return the next state; empty once a space is used up."""
    population = propose(state, space, settings, budgets)
    scores = dict(state.scores) | {gene: evaluate(gene) for gene in population}
    return replace(state, index=state.index + 1, population=population, scores=scores)


def propose(state: SearchState, space: Space, settings: Settings, budgets: Sequence[Budget] = ()) -> tuple[Gene, ...]:
    """Return the next population: different genes, never tried before, all within the budgets."""
    rng = np.random.default_rng([state.seed, state.index])
    parents = state.best(settings.parents)
    population: dict[Gene, None] = {}  # a set that keeps its order

    def parent() -> Gene:
        return parents[rng.integers(len(parents))]

    def add(make: Callable[[], Gene], tries: int) -> bool:
        for _ in range(tries):
            gene = make()
            if gene not in population and gene not in state.scores and fits(gene, budgets):
                population[gene] = None
                return True
        return False

    for _ in range(settings.mutation if parents else 0):
        add(lambda: mutate(parent(), space, settings.mutation_probability, rng), settings.tries)
    for _ in range(settings.crossover if parents else 0):
        add(lambda: cross(parent(), parent(), rng), settings.tries)
    while len(population) < settings.population and add(lambda: random_gene(space, rng, budgets), RANDOM_TRIES):
        pass
    return tuple(population)


def fits(gene: Gene, budgets: Sequence[Budget]) -> bool:
    """Say whether `gene` is within every budget."""
    return not any(budget.excess(gene) for budget in budgets)


def mutate(gene: Gene, space: Space, probability: float, rng: np.random.Generator) -> Gene:
    """Return `gene` with each choice drawn anew with that probability."""
    change = rng.random(len(gene)) < probability
    return tuple(np.where(change, space.random(rng), gene).tolist())


def cross(one: Gene, other: Gene, rng: np.random.Generator) -> Gene:
    """Return a gene that takes each choice from either parent."""
    return tuple(np.where(rng.random(len(one)) < 0.5, one, other).tolist())


def random_gene(space: Space, rng: np.random.Generator, budgets: Sequence[Budget] = ()) -> Gene:
    """Draw a gene uniformly from those within the budgets; where they are rare, mend one that is not.

    Mending redraws one place at a time and keeps what lowers the excess. ReproError if it finds nothing.
    """
    for _ in range(RANDOM_TRIES):
        if fits(gene := space.random(rng), budgets):
            return gene
    excess = _excess(gene, budgets)
    for _ in range(100 * len(gene)):
        place = rng.integers(len(gene))
        other = (*gene[:place], int(rng.integers(space.sizes[place])), *gene[place + 1 :])
        if (less := _excess(other, budgets)) < excess:
            gene, excess = other, less
            if excess == 0:
                return gene
    limits = " and ".join(f"{budget.limit:,.12g} {budget.cost.name}" for budget in budgets)
    raise ReproError(f"found no network within {limits}: raise the tighter budget")


def remembered(evaluate: Evaluate, known: dict[Gene, float], record: Callable[[Gene, float], None]) -> Evaluate:
    """Return `evaluate` with a memory: what is not in `known` is evaluated, put there and given to `record`."""

    def once(gene: Gene) -> float:
        if gene not in known:
            known[gene] = evaluate(gene)
            record(gene, known[gene])
        return known[gene]

    return once


def _excess(gene: Gene, budgets: Sequence[Budget]) -> float:
    return sum(budget.excess(gene) for budget in budgets)
