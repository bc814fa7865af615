"""Which run re-creates which published row (DARTS Tables 1 to 4, Sect. 3.3; SPOS Sect. 4), and the command for it.

A row states the data and protocol of its run. A run answers the row that states its own, seeds aside: at most one row
of a table. Rows that the papers quote from others have no run: they are shown only.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from repro.configs import profiles
from repro.configs.registry import EXPERIMENTS, find
from repro.configs.widths import reference_width
from repro.results.protocol import stated, text_of
from repro.runs.identity import Description, resolve


@dataclass(frozen=True)
class Counterpart:
    """The experiment that re-creates a published row, and what it changes in a profile's parameters.

    width: for the cell of others in DARTS's own setup, the parameter that is its width.
    """

    experiment: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    width: str = ""

    def changes_in(self, profile: str) -> dict[str, Any]:
        """Return what the row changes in the parameters of a profile."""
        if not self.width:
            return {**self.changes}
        usual = resolve(find(self.experiment), profile, {}).values()
        data = usual["dataset"] if "dataset" in usual else usual["corpus"]
        width = reference_width(self.changes["genotype"], data, usual[self.width])
        return {**self.changes, **({} if width == usual[self.width] else {self.width: width})}

    def stated(self, profile: str) -> Description:
        """Return the description of the row's run in a profile."""
        return stated(find(self.experiment), profile, self.changes_in(profile))

    def seeds(self, profile: str) -> tuple[int, ...]:
        """Return the seeds that the plan of a profile has for the row."""
        mine, experiment = text_of(self.stated(profile)), find(self.experiment)
        plan = profiles.profile(profile).plan
        planned = [(changes, seeds) for name, changes, seeds in plan if name == experiment.name]
        alike = (seeds for changes, seeds in planned if text_of(stated(experiment, profile, changes)) == mine)
        return next(alike, ())

    def command(self, profile: str) -> str:
        """Return the command line that makes it, with the seeds that the profile's plan has for it."""
        pairs = [f"-p {shlex.quote(f'{name}={value}')}" for name, value in self.changes_in(profile).items()]
        planned = self.seeds(profile)
        seeds = [f"--seeds {','.join(map(str, planned))}"] if len(planned) > 1 else []
        size = [] if profile == "smoke" else [f"--profile {profile}"]
        return " ".join(["repro run", self.experiment, *pairs, *seeds, *size, "--with-needs"])


def answers(table: str, sizes: Iterable[str]) -> dict[str, str]:
    """Return what rows state for runs of these profiles (`protocol.text_of`) -> the id of the row.

    A row is answered by the run that it states in the run's own profile, and in any profile by that of the paper.
    """
    known = [profile for profile in profiles.PROFILES if profile in {*sizes, "paper"}]
    return {text_of(row.stated(profile)): key for key, row in ROWS[table].items() for profile in known}


# Published table -> id of a row -> what re-creates it
ROWS: Mapping[str, Mapping[str, Counterpart]] = {
    table: {key: Counterpart(experiment.name, row.changes, row.width) for key, row in rows.items()}
    for experiment in EXPERIMENTS.values()
    for table, rows in experiment.rows.items()
}
