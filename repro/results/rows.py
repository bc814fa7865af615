"""Which run re-creates which published row (DARTS Tables 1 to 4, Sect. 3.3; SPOS Sect. 4), and the command for it.

Rows that are not named here the papers quote from others: they are shown, and not run.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from repro import profiles
from repro.experiments import EXPERIMENTS
from repro.identity import resolve
from repro.runs import Run


@dataclass(frozen=True)
class Counterpart:
    """The experiment that re-creates a published row, and what it changes in the paper's parameters."""

    experiment: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def effective(self, profile: str) -> dict[str, Any]:
        """Return the changes in a profile: what the profile itself sets stays as it is."""
        own = profiles.CHANGES[profile].get(self.experiment, {})
        return {name: value for name, value in self.changes.items() if name not in own}

    def made(self, run: Run, names: Iterable[str]) -> bool:
        """Whether `run` is one of those that re-create the row: its parameters `names` are the row's."""
        if run.experiment != self.experiment:
            return False
        wanted = resolve(EXPERIMENTS[self.experiment], run.profile, self.effective(run.profile)).values()
        held = run.params.values()
        return all(held[name] == wanted[name] for name in names)

    def command(self, profile: str) -> str:
        """Return the command line that makes it, with the seeds that the profile's plan has for it."""
        changes = self.effective(profile)
        pairs = [f"-p {shlex.quote(f'{name}={value}')}" for name, value in changes.items()]
        mine = (self.experiment, changes)
        planned = next((seeds for *run, seeds in profiles.PLAN[profile] if tuple(run) == mine), ())
        seeds = [f"--seeds {','.join(map(str, planned))}"] if len(planned) > 1 else []
        size = [] if profile == "smoke" else [f"--profile {profile}"]
        return " ".join(["repro run", self.experiment, *pairs, *seeds, *size, "--with-needs"])


def _best_of(search: str, data: str = "cifar10") -> dict[str, str]:
    """Return the parameter that names the best cell of several searches."""
    return {"genotype": f"run:{data}-select/search={f'({search})' if ',' in search else search}"}


def _retrained(architecture: str, **changes: Any) -> Counterpart:
    """Return the training from scratch of a network that SPOS compares."""
    return Counterpart("spos-retrain", {"architecture": architecture, **changes})


def _quantised(first: int, depth: int) -> dict[int, Counterpart]:
    """Return the rows of a quantised ResNet by their place, the table's names for them being all alike.

    For each uniform number of bits: the uniform network, DNAS but for the first, the one searched within its BitOps.
    """
    rows = {}
    for place, (bits, limit) in zip((first, first + 2, first + 5), profiles.BITS[depth].items(), strict=True):
        found = f"run:spos-bits/supernet=run:spos-supernet/depth={depth},bitops={limit}"
        rows[place] = _retrained(bits, space="bits", depth=depth)
        rows[place + (1 if place == first else 2)] = _retrained(found, space="bits", depth=depth)
    return rows


ENAS = {"genotype": "ENAS_RNN"}
# Published table -> row -> what re-creates it
ROWS: Mapping[str, Mapping[str | int, Counterpart]] = {
    "darts_table1_cifar10": {
        "NASNet-A+cutout(their setup)": Counterpart("cifar10-eval", {"genotype": "NASNET", "channels": 32}),
        "AmoebaNet-A+cutout(their setup)": Counterpart("cifar10-eval", {"genotype": "AMOEBANET"}),
        "Random(best of 24)+cutout": Counterpart("cifar10-eval", {"genotype": "run:cifar10-random"}),
        "DARTS-1st+cutout": Counterpart("cifar10-eval", _best_of("run:cifar10-search/order=1")),
        "DARTS-2nd+cutout": Counterpart("cifar10-eval"),
    },
    "darts_ablations": {
        "coordinate_descent_train+val": Counterpart("cifar10-eval", _best_of("run:cifar10-joint")),
        "simultaneous_SGD_train+val": Counterpart("cifar10-eval", _best_of("run:cifar10-joint/strategy=simultaneous")),
        "depth20_C6_search": Counterpart("cifar10-eval", _best_of("run:cifar10-search/cells=20,channels=6")),
    },
    "darts_table2_ptb": {
        "ENAS(their setup)": Counterpart("ptb-eval", ENAS),
        "Random(best of 8)": Counterpart("ptb-eval", {"genotype": "run:ptb-random"}),
        "DARTS-1st": Counterpart("ptb-eval", _best_of("run:ptb-search/order=1", "ptb")),
        "DARTS-2nd": Counterpart("ptb-eval"),
    },
    "darts_table3_imagenet": {"DARTS": Counterpart("imagenet-eval")},
    "darts_table4_wikitext2": {
        "ENAS(their setup)": Counterpart("wikitext2-eval", ENAS),
        "DARTS": Counterpart("wikitext2-eval"),
    },
    "spos_blocks": {
        "all shuffle 3x3": _retrained("shuffle_3x3"),
        "all shuffle 5x5": _retrained("shuffle_5x5"),
        "all shuffle 7x7": _retrained("shuffle_7x7"),
        "all xception": _retrained("xception"),
        "random choice (5 runs)": _retrained("random"),
        "single path supernet + random search": Counterpart("spos-retrain", {"winner": "random"}),
        "SPOS block search": Counterpart("spos-retrain"),
    },
    "spos_channels": {
        "shuffle 3x3 + channel search": _retrained(profiles.CHANNELS_OF_3X3, space="channels", blocks="shuffle_3x3"),
        "SPOS block + channel search": _retrained("run:spos-channels", space="channels"),
    },
    "spos_released": {"authors' README cell": _retrained("SPOS_RELEASED")},
    "spos_bits": {**_quantised(0, 18), **_quantised(8, 34)},
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
