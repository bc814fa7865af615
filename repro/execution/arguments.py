"""What is typed after `repro`, read: the commands with their options and examples, and the runs that are asked for."""

import argparse
import re
from collections.abc import Sequence
from itertools import filterfalse
from pathlib import Path
from typing import NoReturn

from repro import __version__
from repro.configs import profiles
from repro.configs.record import Experiment
from repro.configs.registry import EXPERIMENTS, find
from repro.errors import UsageError, nearest


def requests(options: argparse.Namespace) -> list[tuple[Experiment, dict]]:
    """Return the experiments that a command line asks for, each with its changes; UsageError for wrong ones."""
    if [options.all, bool(options.names), options.claim is not None].count(True) != 1:
        raise UsageError("name the experiments to run, or give --all or --claim (one of the three)")
    if options.claim is not None:
        if options.parameters or options.seeds:
            raise UsageError("--claim runs what the claim was written down with; -p and --seeds go with experiments")
        from repro.results import claims

        return [*claims.wanted(options.claim, options.profile)]
    if options.all:
        if options.parameters:
            raise UsageError("--all runs the profile's plan; -p goes with named experiments")
        return whole_plan(options.profile, options.seeds)
    found = []
    for name in options.names:
        experiment = find(name)
        values = experiment.parameters.parse(_texts(options.parameters, experiment))
        found += [(experiment, {**values, **seed}) for seed in _seeds(options.seeds, experiment)]
    return found


def _texts(pairs: Sequence[str], experiment: Experiment) -> dict[str, str]:
    """Return what -p says, by name; UsageError for a name given twice, no key=value, or an option of the command."""
    if bad := next((pair for pair in pairs if "=" not in pair), None):
        raise UsageError(f"-p {bad}: expected key=value")
    texts: dict[str, str] = {}
    for name, value in (map(str.strip, pair.split("=", 1)) for pair in pairs):
        if name in texts:
            raise UsageError(f"{name} is given twice, as {texts[name]} and as {value}: leave one out")
        texts[name] = value
    for name, value in texts.items():
        if name in OPTIONS and name not in experiment.parameters().values():
            raise UsageError(f"{name} is no parameter but an option: --{name} {value}")
    return texts


def whole_plan(profile: str, seeds: str | None) -> list[tuple[Experiment, dict]]:
    """Return every run of the profile, with these seeds in place of the plan's where an experiment has seeds."""
    plan = list(profiles.plan(profile))
    if seeds is None:
        return plan
    return [
        (e, {**changes, **seed}) for e, changes in plan for seed in (_seeds(seeds, e) if "seed" in changes else [{}])
    ]


def _seeds(text: str | None, experiment: Experiment) -> list[dict[str, int]]:
    if text is None:
        return [{}]
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise UsageError(f"--seeds {text}: expected whole numbers with commas, such as 0,1,2,3")
    return [experiment.parameters.parse({"seed": part.strip()}) for part in text.split(",")]


def count(option: str, text: str) -> int:
    """Read the whole number from 1 to 9999 that an option gives; UsageError for anything else."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UsageError(f"{option} {text}: expected a whole number from 1 to 9999")
    return int(text)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors in one line, led by the nearest right word."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print behind the usage."""
        if found := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = re.findall(r"[^', ]+", found[2])
            message = f"{found[1]!r} is wrong: {_nearest(found[1], known)}"
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line, `order=1` as -p order=1 wherever it stands; UsageError for a wrong one."""
    commands = parser()
    options, rest = commands.parse_known_args(arguments)
    own = commands.commands.choices[options.command]
    if options.command == "run":
        options.parameters = [*options.parameters, *filter(_is_pair, [*options.names, *rest])]
        options.names, rest = ([*filterfalse(_is_pair, words)] for words in (options.names, rest))
    if rest:
        word, _, value = rest[0].lstrip("-").partition("=")
        named = [EXPERIMENTS[name] for name in getattr(options, "names", []) if name in EXPERIMENTS]
        if any(word in experiment.parameters().values() for experiment in named):
            own.error(f"{rest[0]} is no option but a parameter: {word}={value or (*rest, 'VALUE')[1]}")
        known = [word for action in own._actions for word in action.option_strings]
        own.error(f"unknown argument {rest[0]!r}: {_nearest(rest[0], known)}")
    return options


def _is_pair(text: str) -> bool:
    return re.match(r"\w[\w-]* *=", text) is not None


def _nearest(word: str, known: Sequence[str]) -> str:
    return f"{nearest(word, known)}choose one of {', '.join(known)}"


# Command -> what it does, and examples of it
COMMANDS = {
    "list": ("list the experiments and the state of their runs", "list", "list --json"),
    "show": ("show an experiment's parameters", "show cifar10-search", "show ptb-eval --profile paper"),
    "status": ("show how far every run is, with its numbers or the time left", "status", "status --json"),
    "run": (
        "run experiments; finished runs are kept, interrupted ones go on",
        "run cifar10-search -p order=1 -p seed=3",
        "run cifar10-eval -p genotype=DARTS_V2 --seeds 0,1",
        "run cifar10-eval --with-needs --profile paper --dry-run",
        "run --all --jobs 2",
    ),
    "plan": ("show what a profile would run, in which order, and what it costs", "plan --profile paper --gpus 4"),
    "remove": ("delete runs, finished or not", "remove cifar10-search/smoke,order=1"),
    "claims": (
        "show the papers' claims, each with the verdict of the finished runs",
        "claims --profile desk",
        "claims --markdown",
    ),
    "worker": ("work for a Dask scheduler: one worker for each GPU of this machine", "worker node1:8786"),
    "certificates": ("make the certificate that the machines of a cluster share", "certificates cluster-tls"),
    "report": ("write the report of all runs", "report --to figures"),
    "data": ("fetch or check a data set", "data fetch cifar10", "data check ptb"),
    "merge": ("copy the runs of other machines' runs folders into this one", "merge node1/runs node2/runs"),
    "publish": ("copy finished runs, without checkpoints, to the published ones", "publish bilevel-toy/desk"),
    "verify": ("compare with reference vectors", "verify tests/reference/eq8.npz"),
    "completion": ("print what lets a shell complete commands, options and names", "completion bash"),
}
OPTIONS = ("profile", "runs", "data", "seeds", "jobs", "cluster", "claim")  # of `run`, that may be taken for parameters

FLAG, SEEDS = {"action": "store_true"}, {"metavar": "0,1,2,3"}
AT_ONCE = "runs at a time (default: as many as there are cores for their threads; one on a GPU alone)"
# Command -> what it takes beside the common options, as `add_argument` does
ARGUMENTS = {
    "show": {"name": {}, "--cell": {**FLAG, "help": "as the parameters cell of its notebook"}},
    "run": {
        "names": {"nargs": "*", "metavar": "NAME"},
        "-p": {"dest": "parameters", "action": "append", "default": [], "metavar": "key=value"}
        | {"help": "change a parameter; key=value alone does too"},
        "--seeds": {**SEEDS, "help": "run once for each seed"},
        "--with-needs": {**FLAG, "help": "also run what the named experiments need"},
        "--all": {**FLAG, "help": "run everything in the profile's plan"},
        "--dry-run": {**FLAG, "help": "only say what would run, and what would be refused"},
        "--jobs": {"metavar": "N", "help": AT_ONCE},
        "--claim": {
            "metavar": "CLAIM",
            "help": "run what the next look at a claim, or at a line of one, needs: D2 or D2a",
        },
        "--cluster": {"metavar": "ADDRESS", "help": "run on a Dask scheduler's workers; local:2 starts two here"},
        "--tls": {"metavar": "FOLDER", "help": "certificate of the cluster, with a scheduler's HOST:PORT"},
    },
    "plan": {
        "--gpus": {"default": "1", "metavar": "N", "help": "order and times on N GPUs; at smoke and desk: cores (1)"},
        "--seeds": {**SEEDS, "help": "these seeds in place of the plan's"},
        "--certified": {"type": Path, "metavar": "FILE", "help": "hours by the steps in 04-steps.json (docs/gpu.md)"},
    },
    "remove": {"runs_named": {"nargs": "+", "metavar": "RUN", "help": "EXPERIMENT/NAME"}},
    "claims": {
        "--profile": {
            "choices": [each.name for each in profiles.PROFILES.values() if not each.first_look],
            "help": "verdicts of one size (default: the largest finished one's)",
        },
        "--markdown": {**FLAG, "help": "as the README's table"},
    },
    "worker": {
        "address": {"metavar": "HOST:PORT"},
        "--tls": {"metavar": "FOLDER", "help": "certificate of the cluster, with a scheduler's HOST:PORT"},
    },
    "certificates": {"folder": {"metavar": "FOLDER"}},
    "report": {
        "--to": {"metavar": "FOLDER", "help": "where to write it (default: report/ in the runs folder)"},
    },
    "data": {"action": {"choices": ["fetch", "check"]}, "name": {}},
    "merge": {"folders": {"nargs": "+", "metavar": "DIR"}},
    "publish": {
        "runs_named": {"nargs": "+", "metavar": "RUN", "help": "EXPERIMENT/NAME, or a run's folder"},
        "--curve": {**FLAG, "help": "of a run under way: its epochs, to stand beside the curves of others"},
    },
    "verify": {
        "files": {"nargs": "+", "metavar": "FILE.npz"},
        "--device": {"choices": ("cpu", "cuda"), "default": "cpu", "help": "where to compute (default: cpu)"},
    },
    "completion": {"shell": {"choices": ["bash", "zsh"]}},
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; its `commands.choices` are those of the commands, by name."""
    parser = Parser(prog="repro", description="DARTS and SPOS, reproduced")
    parser.add_argument("--version", action="version", version=f"repro {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runs", help="folder of run directories (default: REPRO_RUNS, else runs/)")
    common.add_argument("--data", help="folder of data sets (default: REPRO_DATA, else data/)")
    common.add_argument("--debug", action="store_true", help="show stack traces")
    sized = argparse.ArgumentParser(add_help=False)
    sized.add_argument("--profile", default="smoke", choices=list(profiles.PROFILES), help="size (default: smoke)")
    parser.commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, (meaning, *examples) in COMMANDS.items():
        command = parser.commands.add_parser(
            name,
            parents=[common] if name == "claims" else [common, sized],
            help=meaning,
            description=meaning,
            epilog="\n".join(["examples:", *(f"  repro {each}" for each in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for word, how in ARGUMENTS.get(name, {}).items():
            command.add_argument(word, **how)
        if name in ("list", "show", "status", "plan", "claims"):
            command.add_argument("--json", **FLAG, help="as JSON, for programs")
    return parser
