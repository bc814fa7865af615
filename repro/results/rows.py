"""Which run re-creates which published row (DARTS Tables 1 to 4, Sect. 3.3; SPOS Sect. 4), and the command for it.

A row states what its run is; a run answers the row that states just that, seeds aside, and so at most one of a table.
Rows that are not named here the papers quote from others: they are shown, and not run.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from repro import profiles
from repro.experiments import find
from repro.identity import Description, resolve
from repro.results.standing import stated, text_of
from repro.widths import reference_width


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
        planned = [(changes, seeds) for name, changes, seeds in profiles.PLAN[profile] if name == experiment.name]
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
    """Return for what runs of these profiles are, as `standing.text_of` says it, the id of the row that they answer.

    A row is answered by the run that it states in the run's own profile, and in whichever one by that of the paper.
    """
    known = [profile for profile in profiles.CHANGES if profile in {*sizes, "paper"}]
    return {text_of(row.stated(profile)): key for key, row in ROWS[table].items() for profile in known}


def _best_of(search: str, data: str = "cifar10") -> dict[str, str]:
    """Return the parameter that names the best cell of several searches."""
    return {"genotype": f"run:{data}-select/search={f'({search})' if ',' in search else search}"}


def _retrained(architecture: str, **changes: Any) -> Counterpart:
    """Return the training from scratch of a network that SPOS compares."""
    return Counterpart("spos-retrain", {"architecture": architecture, **changes})


def _quantised(depth: int) -> dict[str, Counterpart]:
    """Return the rows of a quantised ResNet: for each bit width the uniform one and what is found within it."""
    rows = {}
    for bits, limit in profiles.BITS[depth].items():
        found = f"run:spos-bits/supernet=run:spos-supernet/depth={depth},bitops={limit}"
        rows[f"resnet{depth}-{bits}"] = _retrained(bits, space="bits", depth=depth)
        rows[f"resnet{depth}-within-{bits}"] = _retrained(found, space="bits", depth=depth)
    return rows


# Published table -> id of a row -> what re-creates it
ROWS: Mapping[str, Mapping[str, Counterpart]] = {
    "darts_table1_cifar10": {
        "nasnet-a-their-setup": Counterpart("cifar10-eval", {"genotype": "NASNET"}, "channels"),
        "amoebanet-a-their-setup": Counterpart("cifar10-eval", {"genotype": "AMOEBANET"}, "channels"),
        "random": Counterpart("cifar10-eval", {"genotype": "run:cifar10-random"}),
        "darts-1st": Counterpart("cifar10-eval", _best_of("run:cifar10-search/order=1")),
        "darts-2nd": Counterpart("cifar10-eval"),
    },
    "darts_ablations": {
        "coordinate-descent": Counterpart("cifar10-eval", _best_of("run:cifar10-joint")),
        "simultaneous-sgd": Counterpart("cifar10-eval", _best_of("run:cifar10-joint/strategy=simultaneous")),
        "deeper-search": Counterpart("cifar10-eval", _best_of("run:cifar10-search/cells=20,channels=6")),
    },
    "darts_table2_ptb": {
        "enas-their-setup": Counterpart("ptb-eval", {"genotype": "ENAS_RNN"}, "hidden_size"),
        "random": Counterpart("ptb-eval", {"genotype": "run:ptb-random"}),
        "darts-1st": Counterpart("ptb-eval", _best_of("run:ptb-search/order=1", "ptb")),
        "darts-2nd": Counterpart("ptb-eval"),
    },
    "darts_table3_imagenet": {"darts": Counterpart("imagenet-eval")},
    "darts_table4_wikitext2": {
        "enas-their-setup": Counterpart("wikitext2-eval", {"genotype": "ENAS_RNN"}, "hidden_size"),
        "darts": Counterpart("wikitext2-eval"),
    },
    "spos_blocks": {
        "all-shuffle-3x3": _retrained("shuffle_3x3"),
        "all-shuffle-5x5": _retrained("shuffle_5x5"),
        "all-shuffle-7x7": _retrained("shuffle_7x7"),
        "all-xception": _retrained("xception"),
        "random-blocks": _retrained("random"),
        "random-search": Counterpart("spos-retrain", {"winner": "random"}),
        "found-blocks": Counterpart("spos-retrain"),
    },
    "spos_channels": {
        "channels-of-3x3": _retrained(profiles.CHANNELS_OF_3X3, space="channels", blocks="shuffle_3x3"),
        "found-channels": _retrained("run:spos-channels", space="channels"),
    },
    "spos_released": {"released": _retrained("SPOS_RELEASED")},
    "spos_bits": {**_quantised(18), **_quantised(34)},
}

ERRORS = {"top1_error_percent": "top1_error", "top5_error_percent": "top5_error"}
PERPLEXITIES = {name: name for name in ("test_perplexity", "valid_perplexity")}
SIZE = {"params_millions": "parameters_millions"}
# Experiment -> published column -> entry of result.json; the first is what the table is about
MEASURES: Mapping[str, Mapping[str, str]] = {
    "cifar10-eval": {"test_error_percent": "test_error", **SIZE},
    "ptb-eval": {**PERPLEXITIES, **SIZE},
    "imagenet-eval": {**ERRORS, **SIZE, "mult_adds_millions": "mult_adds_millions"},
    "wikitext2-eval": {**PERPLEXITIES, **SIZE},
    "spos-retrain": {
        "top1_percent": "test_accuracy",
        "flops_M": "mult_adds_millions",
        "params_M": "parameters_millions",
        "bitops_G": "bitops_giga",
    },
}
