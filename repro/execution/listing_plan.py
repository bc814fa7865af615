"""What `repro plan` prints: the runs in the order of their start, sums, where the hours come from, numbers of GPUs."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from repro.configs import profiles
from repro.configs.record import KINDS
from repro.execution import plan
from repro.execution.plan import Estimate, Tasks
from repro.execution.runner import Job
from repro.runs.states import duration

MACHINES = {"GPU": (1, 4, 16, 64), "core": (1, 2, 4, 8)}


def lines(jobs: list[Job], profile: str, gpus: int, certified: Path | None = None) -> list[str]:
    """Return the plan for people: runs in their order on `gpus` GPUs or cores, sums, critical path, other numbers."""
    worker = profiles.profile(profile).worker
    known, names = plan.estimates(jobs, certified), {job.run.path: job.run.name for job in jobs}
    left = plan.tasks(jobs, known)
    return [
        *_runs(jobs, known, left, gpus, worker),
        "",
        *_sums(known, left, profile, worker),
        "",
        *_sources(jobs, known),
        "",
        *_critical(left, names),
        "",
        *_machines(left, sorted({*MACHINES[worker], gpus}), worker),
    ]


def _runs(jobs: list[Job], known: dict[Path, Estimate], left: Tasks, gpus: int, worker: str) -> Iterable[str]:
    yield f"{'start':>9}  {'takes':>9}  {worker:>4}  {'disk':>7}  {'hours':9}  run"
    for job in jobs:
        if job.run.path not in left:
            each = known[job.run.path]
            yield f"{'':9}  {'':9}  {'':4}  {_bytes(each.disk):>7}  {'done':9}  {job.run.name}"
    names = {job.run.path: job.run.name for job in jobs}
    for slot in plan.simulate(left, gpus):
        each = known[slot.task]
        start, takes = duration(3600 * slot.start), duration(3600 * each.hours)
        yield f"{start:>9}  {takes:>9}  {slot.machine:4}  {_bytes(each.disk):>7}  {each.kind:9}  {names[slot.task]}"


def _sums(known: dict[Path, Estimate], left: Tasks, profile: str, worker: str) -> Iterable[str]:
    hours = Counter(dict.fromkeys(("measured", "shipped", *KINDS), 0.0))
    for path in left:
        hours[known[path].kind] += known[path].hours
    total = sum(hours.values())
    parts = ", ".join(f"{_hours(value)} {kind}" for kind, value in hours.items() if value)
    yield f"{profile}: {len(known)} runs, {len(known) - len(left)} done, {len(left)} to run"
    yield f"{worker} hours: {_hours(total)}" + (f" ({parts})" if parts else "")
    sizes = [each.disk for each in known.values() if each.disk is not None]
    yield f"disk: {_bytes(sum(sizes))} for {len(sizes)} of {len(known)} runs (measured, else by their parameters)"
    memory = [each.memory for each in known.values() if each.memory]
    yield (
        f"memory: at most {max(memory):,.0f} MiB in the finished ones" if memory else "memory: not known, none has run"
    )


def _sources(jobs: list[Job], known: dict[Path, Estimate]) -> Iterable[str]:
    """Yield where the hours of each experiment come from."""
    yield "where the hours come from (GPU hours of the authors are those of their GPUs)"
    left = ((job.experiment.name, known[job.run.path]) for job in jobs if known[job.run.path].kind != "done")
    told = Counter((name, each.kind, each.source, each.hours) for name, each in left)
    for (name, kind, source, hours), count in told.items():
        yield f"  {name:17} {count:3} x {duration(3600 * hours):>9}  {kind}: {source}"


def _critical(left: Tasks, names: dict[Path, str]) -> Iterable[str]:
    path = plan.critical_path(left)
    yield f"critical path: {duration(3600 * sum(left[each].hours for each in path))}, {len(path)} runs"
    for each in path:
        yield f"  {duration(3600 * left[each].hours):>9}  {names[each]}"


def _machines(left: Tasks, machines: list[int], worker: str) -> Iterable[str]:
    """Yield the simulated makespan on each number of GPUs or cores beside its lower bound."""
    yield f"{worker + 's':>5}  {'until the end':>13}  {'no less than':>13}  {'busy':>5}"
    total = sum(task.hours for task in left.values())
    for count in machines:
        until, bound = plan.makespan(plan.simulate(left, count)), plan.lower_bound(left, count)
        busy = f"{total / (count * until):.0%}" if until else ""
        yield f"{count:5}  {duration(3600 * until):>13}  {duration(3600 * bound):>13}  {busy:>5}"


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(size: float | None) -> str:
    if size is None:
        return "?"
    unit = next((unit for unit in (1e9, 1e6) if size >= unit), 1e3)
    return f"{size / unit:.1f} {({1e9: 'GB', 1e6: 'MB', 1e3: 'kB'})[unit]}"
