"""The command line `repro`, a function for each command; `arguments` reads what is typed, and tells what they do.

Exit status: 0 all went well, 1 something failed, 2 the command or a parameter is wrong, 130 stopped by Ctrl-C.
"""

import argparse
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from repro.configs.registry import find
from repro.errors import AGAIN, UsageError, line, told
from repro.execution import listing, records
from repro.execution.arguments import count, parse, requests, whole_plan
from repro.files import as_json
from repro.runs import snapshot
from repro.runs.removal import removable, remove


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ["MPLBACKEND"] = "agg"  # figures are files: a backend of the user's, which may not be here, has no say
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who starts this, as a service may
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process
        if hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # where the terminal knows ASCII alone
    try:
        options = parse(arguments)
        options.line = " ".join(["repro", *arguments])
        for name in ("runs", "data"):
            if value := getattr(options, name):
                os.environ[f"REPRO_{name.upper()}"] = str(Path(value).absolute())
        status = COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads has seen enough, as head does: what is left to be written goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return _fail(f"stopped; {AGAIN}", 130)
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        if message := told(error):
            return _fail(message, getattr(error, "status", 1))
        raise


def _fail(message: str, status: int) -> int:
    print(f"repro: {message}", file=sys.stderr)
    return status


def _say(options: argparse.Namespace, lines: Callable[[], list[str]], data: Callable[[], Any]) -> int:
    """Print lines for people, or with --json the data behind them."""
    with snapshot.taken():
        print(as_json(data()).decode().rstrip() if options.json else "\n".join(lines()))
    return 0


def _list(options: argparse.Namespace) -> int:
    return _say(options, listing.experiments, records.experiments)


def _show(options: argparse.Namespace) -> int:
    experiment, profile = find(options.name), options.profile
    lines = lambda: listing.cell(experiment) if options.cell else listing.parameters(experiment, profile)
    return _say(options, lines, lambda: records.parameters(experiment, profile))


def _status(options: argparse.Namespace) -> int:
    return _say(options, listing.status, records.status)


def _run(options: argparse.Namespace) -> int:
    from repro.execution import runner

    at_once = None if options.jobs is None else count("--jobs", options.jobs)
    if at_once and options.cluster is not None:
        raise UsageError("--jobs is for this machine, and each worker of --cluster runs one at a time: leave one out")
    with_needs = options.with_needs or options.all or options.claim is not None
    jobs = runner.plan(requests(options), options.profile, with_needs)
    if options.cluster is None or options.dry_run:
        runner.refuse(jobs)
    if options.dry_run:
        return _summary(jobs, options.debug)
    if options.profile == "paper" and any(job.run.result is None for job in jobs):
        for job in jobs:
            print(f"{job.run.name}: the paper's cost was {job.experiment.cost}")
    if options.cluster is not None:
        from repro.execution import cluster

        cluster.run_all(jobs, options.line, options.cluster, options.tls)
    elif options.tls is not None:
        raise UsageError("--tls goes with --cluster HOST:PORT")
    elif not all(runner.settled(job, jobs) for job in jobs):
        from repro.execution import pool

        pool.run_all(jobs, options.line, at_once)
    return _summary(jobs, options.debug)


def _plan(options: argparse.Namespace) -> int:
    from repro.execution import listing_plan, plan, runner

    gpus, steps = count("--gpus", options.gpus), options.certified
    jobs = runner.plan(whole_plan(options.profile, options.seeds), options.profile, with_needs=True)
    lines = lambda: listing_plan.lines(jobs, options.profile, gpus, steps)
    return _say(options, lines, lambda: plan.records(jobs, gpus, steps))


def _claims(options: argparse.Namespace) -> int:
    from repro.execution import listing_claims
    from repro.results import claim_rows, claims

    found = claims.headlines() if options.profile is None else claims.answers(options.profile)
    lines = listing_claims.markdown if options.markdown else listing_claims.claims
    return _say(options, lambda: lines(found), lambda: claim_rows.rows(found))


def _remove(options: argparse.Namespace) -> int:
    for path in [*map(removable, options.runs_named)]:
        print(f"removed {remove(path)}")
    return 0


def _completion(options: argparse.Namespace) -> int:
    from repro.execution import completion

    print(completion.script(options.shell))
    return 0


def _worker(options: argparse.Namespace) -> int:
    from repro.execution import workers

    workers.serve(options.address, options.tls)
    return 0


def _certificates(options: argparse.Namespace) -> int:
    from repro.execution import tls

    print(tls.make(Path(options.folder)))
    return 0


def _report(options: argparse.Namespace) -> int:
    from repro.report import report

    print(report.build(options.profile, Path(options.to) if options.to else None))
    return 0


def _data(options: argparse.Namespace) -> int:
    from repro.data import datasets

    print(datasets.fetch(options.name) if options.action == "fetch" else datasets.check(options.name))
    return 0


def _merge(options: argparse.Namespace) -> int:
    from repro.runs import merge

    found = []
    for merged in (merged for folder in options.folders for merged in merge.merge(Path(folder))):
        found.append(merged.word)
        if merged.word in merge.BAD:
            print(f"repro: {merged.name} {merged.word}: {merged.why}", file=sys.stderr)
        else:
            print(f"{merged.word:9} {merged.name}{f' ({merged.why})' if merged.why else ''}", flush=True)
    print(", ".join(f"{count} {merge.WORDS[word]}" for word, count in Counter(found).items()))
    return int(any(word in merge.BAD for word in found))


def _publish(options: argparse.Namespace) -> int:
    from repro.report import publish
    from repro.report.publish_curves import publish_curve

    found = []
    for outcome in publish.publish(options.runs_named, publish_curve if options.curve else None):
        found.append(outcome.word)
        if outcome.word == "refused":
            print(f"repro: {outcome.name} not published: {outcome.why}", file=sys.stderr)
        else:
            print(f"{outcome.word:13} {outcome.name} {outcome.why}".rstrip(), flush=True)
    counts = ", ".join(f"{count} {word}" for word, count in Counter(found).items())
    print(f"{counts}; {publish.size() / 1e6:.2f} of {publish.LIMIT / 1e6:g} MB")
    return int("refused" in found)


def _verify(options: argparse.Namespace) -> int:
    from repro.originals import verify

    return verify.main(options.files, options.device)


def _summary(jobs: list, debug: bool) -> int:
    from repro.execution.runner import reasons

    counts = Counter(job.outcome for job in jobs)
    if counts["done"] == len(jobs):
        print(f"nothing to do: all {len(jobs)} runs are done")
        return 0
    words = {"": "would run", "ran": "ran", "done": "was done", "skipped": "SKIPPED", "failed": "FAILED"}
    for job in jobs:
        print(f"{words[job.outcome]:9} {job.run.name}" + (f" ({job.seconds:.1f} s)" if job.outcome else ""))
    sys.stdout.flush()
    for job in (job for job in jobs if debug and job.trace):
        print(job.trace, file=sys.stderr)
    for (outcome, message), names in reasons(jobs).items():
        more = f" and {len(names) - 1} other{'s' * (len(names) > 2)}" if len(names) > 1 else ""
        print(f"repro: {line(f'{names[0]}{more} {outcome}: {message}')}", file=sys.stderr)
    return 1 if counts["failed"] or counts["skipped"] else 0


COMMANDS = {
    "list": _list,
    "show": _show,
    "status": _status,
    "run": _run,
    "plan": _plan,
    "remove": _remove,
    "claims": _claims,
    "worker": _worker,
    "certificates": _certificates,
    "report": _report,
    "data": _data,
    "merge": _merge,
    "publish": _publish,
    "verify": _verify,
    "completion": _completion,
}


if __name__ == "__main__":
    sys.exit(main())
