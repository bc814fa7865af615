"""The command line `repro`: list, show, status, plan, run, claims, publish, worker, certificates, merge, report, data,
verify.

Exit status: 0 all went well, 1 something failed, 2 the command or a parameter is wrong, 130 stopped by Ctrl-C.
"""

import argparse
import os
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from repro import costs, listing, profiles, snapshot
from repro.errors import AGAIN, UsageError, line, told
from repro.experiments import Experiment, find


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # where the terminal knows ASCII alone
    options = _parser().parse_args(arguments)
    options.line = " ".join(["repro", *arguments])
    for name in ("runs", "data"):
        if value := getattr(options, name, None):
            os.environ[f"REPRO_{name.upper()}"] = str(Path(value).absolute())
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads has seen enough, as head does: what is left to be written goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return _fail(f"stopped; {AGAIN}", 130)
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        if message := told(error):
            return _fail(message, getattr(error, "status", 1))
        raise


def _fail(message: str, status: int) -> int:
    print(f"repro: {message}", file=sys.stderr)
    return status


def list_experiments(options: argparse.Namespace) -> int:
    """Print every experiment: what it reproduces, needs and cost its authors, and the state of its runs."""
    with snapshot.taken():
        print(*listing.experiments(), sep="\n")
    return 0


def show_experiment(options: argparse.Namespace) -> int:
    """Print an experiment's parameters: the paper's value, the profile's where it differs, unit and meaning."""
    experiment = find(options.name)
    print(*(listing.cell(experiment) if options.cell else listing.parameters(experiment, options.profile)), sep="\n")
    return 0


def show_status(options: argparse.Namespace) -> int:
    """Print how far every run is."""
    with snapshot.taken():
        print(*listing.status(), sep="\n")
    return 0


def run_experiments(options: argparse.Namespace) -> int:
    """Run the named experiments, or all of the profile, and print what became of each."""
    from repro import pool, runner

    at_once = None if options.jobs is None else _count("--jobs", options.jobs)
    if at_once and options.cluster is not None:
        raise UsageError("--jobs is for this machine, and each worker of --cluster runs one at a time: leave one out")
    with_needs = options.with_needs or options.all or options.claim is not None
    jobs = runner.plan(_requests(options), options.profile, with_needs)
    if options.profile == "paper" and any(job.run.result is None for job in jobs):
        for job in jobs:
            print(f"{job.run.name}: the paper's cost was {costs.told(job.experiment)}")
    if options.cluster is not None:
        from repro import cluster

        cluster.run_all(jobs, options.line, options.cluster, options.tls)
    elif options.tls is not None:
        raise UsageError("--tls goes with --cluster HOST:PORT")
    else:
        pool.run_all(jobs, options.line, at_once)
    return _summary(jobs, options.debug)


def show_plan(options: argparse.Namespace) -> int:
    """Print what the profile would run, in which order, and for how long on how many GPUs."""
    from repro import plan, runner

    gpus = _count("--gpus", options.gpus)
    jobs = runner.plan(_whole_plan(options.profile, options.seeds), options.profile, with_needs=True)
    print(*plan.lines(jobs, options.profile, gpus), sep="\n")
    return 0


def show_claims(options: argparse.Namespace) -> int:
    """Print every claim of the papers with its verdict, at one size or at the largest finished one."""
    from repro import listing_claims
    from repro.results import claims

    found = claims.headlines() if options.profile is None else claims.answers(options.profile)
    print(*(listing_claims.markdown if options.markdown else listing_claims.claims)(found), sep="\n")
    return 0


def serve(options: argparse.Namespace) -> int:
    """Work for a Dask scheduler, one worker for each GPU of this machine."""
    from repro import workers

    workers.serve(options.address, options.tls)
    return 0


def make_certificates(options: argparse.Namespace) -> int:
    """Make the certificate of a cluster, and print how its scheduler is started."""
    from repro import tls

    print(tls.make(Path(options.folder)))
    return 0


def make_report(options: argparse.Namespace) -> int:
    """Write the report of all runs and print its path."""
    from repro import report

    print(report.build(options.profile, Path(options.to) if options.to else None))
    return 0


def handle_data(options: argparse.Namespace) -> int:
    """Fetch a data set into the data folder, or check the one that is there."""
    from repro import datasets

    print(datasets.fetch(options.name) if options.action == "fetch" else datasets.check(options.name))
    return 0


def merge_runs(options: argparse.Namespace) -> int:
    """Copy the runs of other folders into the runs folder; 1 if one is in conflict, refused or damaged."""
    from repro import merge

    found = []
    for merged in (merged for folder in options.folders for merged in merge.merge(Path(folder))):
        found.append(merged.word)
        if merged.word in merge.BAD:
            print(f"repro: {merged.name} {merged.word}: {merged.why}", file=sys.stderr)
        else:
            print(f"{merged.word:9} {merged.name}{f' ({merged.why})' if merged.why else ''}", flush=True)
    print(", ".join(f"{count} {merge.WORDS[word]}" for word, count in Counter(found).items()))
    return int(any(word in merge.BAD for word in found))


def publish_runs(options: argparse.Namespace) -> int:
    """Publish finished runs; 1 if one is refused."""
    from repro import publish

    found = []
    for outcome in publish.publish(options.runs_to_publish):
        found.append(outcome.word)
        if outcome.word == "refused":
            print(f"repro: {outcome.name} not published: {outcome.why}", file=sys.stderr)
        else:
            print(f"{outcome.word:13} {outcome.name} {outcome.why}".rstrip(), flush=True)
    counts = ", ".join(f"{count} {word}" for word, count in Counter(found).items())
    print(f"{counts}; {publish.size() / 1e6:.2f} of {publish.LIMIT / 1e6:g} MB")
    return int("refused" in found)


def verify_files(options: argparse.Namespace) -> int:
    """Compare this package with reference files; 1 if an array does not hold, 2 if a file cannot be read."""
    from repro import verify

    return verify.main(options.files, options.device)


def _requests(options: argparse.Namespace) -> list[tuple[Experiment, dict]]:
    if [options.all, bool(options.names), options.claim is not None].count(True) != 1:
        raise UsageError("name the experiments to run, or give --all or --claim (one of the three)")
    if options.claim is not None:
        if options.parameters or options.seeds:
            raise UsageError("--claim runs what the claim was written down with; -p and --seeds go with experiments")
        return _next_look(options)
    if options.all:
        if options.parameters:
            raise UsageError("--all runs the profile's plan; -p goes with named experiments")
        return _whole_plan(options.profile, options.seeds)
    if bad := next((pair for pair in options.parameters if "=" not in pair), None):
        raise UsageError(f"-p {bad}: expected key=value")
    texts = dict(pair.split("=", 1) for pair in options.parameters)
    requests = []
    for name in options.names:
        experiment = find(name)
        values = experiment.parameters.parse(texts)
        requests += [(experiment, {**values, **seed}) for seed in _seeds(options.seeds, experiment)]
    return requests


def _whole_plan(profile: str, seeds: str | None) -> list[tuple[Experiment, dict]]:
    """Return every run of the profile, with these seeds in place of the plan's where an experiment has seeds."""
    plan = list(profiles.plan(profile))
    if seeds is None:
        return plan
    return [
        (e, {**changes, **seed}) for e, changes in plan for seed in (_seeds(seeds, e) if "seed" in changes else [{}])
    ]


def _next_look(options: argparse.Namespace) -> list[tuple[Experiment, dict]]:
    """Return the runs of the next look at a line of a claim."""
    from repro.results import claims

    return [*claims.wanted(options.claim, options.profile)]


def _seeds(text: str | None, experiment: Experiment) -> list[dict[str, int]]:
    if text is None:
        return [{}]
    if not all(part.strip().isdecimal() for part in text.split(",")):
        raise UsageError(f"--seeds {text}: expected whole numbers with commas, such as 0,1,2,3")
    return [experiment.parameters.parse({"seed": part.strip()}) for part in text.split(",")]


def _count(option: str, text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UsageError(f"{option} {text}: expected a whole number from 1 to 9999")
    return int(text)


def _summary(jobs: list, debug: bool) -> int:
    counts = {outcome: sum(job.outcome == outcome for job in jobs) for outcome in ("ran", "done", "skipped", "failed")}
    if counts["done"] == len(jobs):
        print(f"nothing to do: all {len(jobs)} runs are done")
        return 0
    words = {"ran": "ran", "done": "was done", "skipped": "SKIPPED", "failed": "FAILED"}
    for job in jobs:
        print(f"{words[job.outcome]:9} {job.run.name} ({job.seconds:.1f} s)")
    sys.stdout.flush()
    for job in jobs:
        if job.message:
            if debug and job.trace:
                print(job.trace, file=sys.stderr)
            print(f"repro: {line(f'{job.run.name} {job.outcome}: {job.message}')}", file=sys.stderr)
    return 1 if counts["failed"] or counts["skipped"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="repro", description="DARTS and SPOS, reproduced")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--runs", help="folder of run directories (default: REPRO_RUNS, else runs/)")
    common.add_argument("--data", help="folder of data sets (default: REPRO_DATA, else data/)")
    common.add_argument("--debug", action="store_true", help="show stack traces")
    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument("--profile", default="smoke", choices=list(profiles.CHANGES), help="size (default: smoke)")
    deciding = argparse.ArgumentParser(add_help=False)
    sizes = [name for name in profiles.CHANGES if name != "smoke"]
    deciding.add_argument("--profile", choices=sizes, help="verdicts of one size (default: the largest finished one's)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function, help: str, size: argparse.ArgumentParser = profile) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[common, size], help=help, description=help)
        command.set_defaults(command=function)
        return command

    add("list", list_experiments, "list the experiments and the state of their runs")
    show = add("show", show_experiment, "show an experiment's parameters")
    show.add_argument("name")
    show.add_argument("--cell", action="store_true", help="as the parameters cell of its notebook")
    add("status", show_status, "show how far every run is, with the time left")
    run = add("run", run_experiments, "run experiments; finished runs are kept, interrupted ones go on")
    run.add_argument("names", nargs="*", metavar="NAME")
    run.add_argument(
        "-p", dest="parameters", action="append", default=[], metavar="key=value", help="change a parameter"
    )
    run.add_argument("--seeds", metavar="0,1,2,3", help="run once for each seed")
    run.add_argument("--with-needs", action="store_true", help="also run what the named experiments need")
    run.add_argument("--all", action="store_true", help="run everything in the profile's plan")
    run.add_argument(
        "--jobs",
        metavar="N",
        help="runs at a time (default: as many as there are cores for their threads; one on a GPU alone)",
    )
    run.add_argument("--claim", metavar="LINE", help="run what the next look at a line of a claim needs, such as D2a")
    run.add_argument("--cluster", metavar="ADDRESS", help="run on a Dask scheduler's workers; local:2 starts two here")
    plan = add("plan", show_plan, "show what a profile would run, in which order, and what it costs")
    plan.add_argument("--gpus", default="1", metavar="N", help="order and times on N GPUs (default: 1)")
    plan.add_argument("--seeds", metavar="0,1,2,3", help="these seeds in place of the plan's")
    claims = add("claims", show_claims, "show the papers' claims, each with the verdict of the finished runs", deciding)
    claims.add_argument("--markdown", action="store_true", help="as the README's table")
    worker = add("worker", serve, "work for a Dask scheduler: one worker for each GPU of this machine")
    worker.add_argument("address", metavar="HOST:PORT")
    for command in (run, worker):
        command.add_argument("--tls", metavar="FOLDER", help="certificate of the cluster, with a scheduler's HOST:PORT")
    certificates = add("certificates", make_certificates, "make the certificate that the machines of a cluster share")
    certificates.add_argument("folder", metavar="FOLDER")
    report = add("report", make_report, "write the report of all runs")
    report.add_argument("--to", metavar="FOLDER", help="where to write it (default: report/ in the runs folder)")
    data = add("data", handle_data, "fetch or check a data set")
    data.add_argument("action", choices=["fetch", "check"])
    data.add_argument("name")
    merge = add("merge", merge_runs, "copy the runs of other machines' runs folders into this one")
    merge.add_argument("folders", nargs="+", metavar="DIR")
    publish = add("publish", publish_runs, "copy finished runs, without checkpoints, to the published ones")
    publish.add_argument("runs_to_publish", nargs="+", metavar="RUN", help="EXPERIMENT/NAME, or a run's folder")
    verify = add("verify", verify_files, "compare with reference vectors")
    verify.add_argument("files", nargs="+", metavar="FILE.npz")
    verify.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default: cpu)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
