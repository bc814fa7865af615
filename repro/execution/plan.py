"""What a profile would run: in which order, how long, on how much disk, and on how many GPUs until when.

An hour is measured where runs of the same experiment and profile are finished here. Else it is what a run of smoke took
elsewhere, what the authors paid, or what `costs` fills in. The schedule is that of `repro run --cluster`: a free GPU
takes the run with the longest path left.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from repro.configs import hours as paid
from repro.configs.record import KINDS
from repro.errors import ReproError
from repro.execution import runner, schedule
from repro.execution.runner import Job
from repro.execution.schedule import Task, Tasks
from repro.runs import provenance
from repro.runs.identity import resolve
from repro.runs.run import Run
from repro.runs.states import duration, survey

MACHINES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Estimate:
    """What one run takes; None: not known."""

    hours: float
    kind: str  # done, measured, shipped with the package, or one of KINDS
    source: str
    disk: float | None = None  # bytes
    memory: float | None = None  # the largest ever taken, in MiB


def estimates(jobs: list[Job]) -> dict[Path, Estimate]:
    """Return an estimate for each job, by its run's folder."""
    finished = defaultdict(list)
    for run in survey()[0]:
        if run.result is not None:
            finished[run.experiment, run.profile].append(run)
    return {job.run.path: _estimate(job, finished[job.experiment.name, job.run.profile]) for job in jobs}


def _estimate(job: Job, finished: list[Run]) -> Estimate:
    """Return what is measured of the run itself, of runs that differ by the seed, of its experiment; or published.

    Published runs count where there are no others; what they took of the disk is not known.
    """
    params, finished = job.run.params, [run for run in finished if not run.published] or finished
    own = [run for run in finished if run.path == job.run.path]
    alike = [run for run in finished if _without_seed(run) == _without_seed(job.run)]
    if like := own or alike or finished:
        hours = median(provenance.seconds(run.path) for run in like) / 3600
        memory = [run_memory for run in like if (run_memory := provenance.memory(run.path))]
        published = like[0].published
        size = None if published else median(_size(run.path) for run in like)
        if own and runner.is_done(job.run):
            return Estimate(0.0, "done", f"took {duration(3600 * hours)}", size, max(memory, default=None))
        kind = "published" if published else "finished"
        source = f"{len(like)} {kind} run{'s' * (len(like) > 1)} of this experiment"
        return Estimate(0.0 if own else hours, "measured", source, size, max(memory, default=None))
    # on other data: what the papers paid says nothing of it
    if job.run.profile == "smoke" and job.experiment.smoke_seconds:
        seconds = job.experiment.smoke_seconds * _share(job)
        return Estimate(seconds / 3600, "shipped", "measured on two cores, by its share of the profile's work")
    cost = paid.published(job.experiment, params)
    return Estimate(cost.hours, cost.kind, cost.source, paid.disk(cost, params))


def _share(job: Job) -> float:
    """Return how much a run does beside the usual one of its profile."""
    usual = resolve(job.experiment, job.run.profile, {})
    return paid.work(job.run.params.values()) / paid.work(usual.values())


def _without_seed(run: Run) -> dict:
    return run.params.part("data", "protocol")


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def tasks(jobs: list[Job], known: dict[Path, Estimate]) -> Tasks:
    """Return what is still to run."""
    left = {job.run.path: job for job in jobs if known[job.run.path].kind != "done"}
    return {
        path: Task(known[path].hours, tuple(need for need in job.needs if need in left)) for path, job in left.items()
    }


def ranked(jobs: list[Job]) -> list[Job]:
    """Return the jobs in the order in which a free worker is to take them: the longest path left first."""
    left = schedule.remaining(tasks(jobs, estimates(jobs)))
    return sorted(jobs, key=lambda job: -left.get(job.run.path, 0.0))


def lines(jobs: list[Job], profile: str, gpus: int) -> list[str]:
    """Return the plan for people: runs in their order on `gpus` GPUs, sums, critical path, other numbers of GPUs."""
    known, names = estimates(jobs), {job.run.path: job.run.name for job in jobs}
    left = tasks(jobs, known)
    return [
        *_runs(jobs, known, left, gpus),
        "",
        *_sums(known, left, profile),
        "",
        *_sources(jobs, known),
        "",
        *_critical(left, names),
        "",
        *_machines(left, sorted({*MACHINES, gpus})),
    ]


def records(jobs: list[Job], gpus: int) -> dict:
    """Return the plan as JSON holds it: hours and bytes, in the order in which `gpus` GPUs take the runs."""
    known, names = estimates(jobs), {job.run.path: job.run.name for job in jobs}
    slots = schedule.simulate(tasks(jobs, known), gpus)
    left = {slot.task: {"start_hours": slot.start, "gpu": slot.machine} for slot in slots}
    order = [*(path for path in names if path not in left), *left]
    rows = [{"run": names[path], **asdict(known[path]), **left.get(path, {})} for path in order]
    return {"gpus": gpus, "hours_until_the_end": schedule.makespan(slots), "runs": rows}


def _runs(jobs: list[Job], known: dict[Path, Estimate], left: Tasks, gpus: int) -> Iterable[str]:
    yield f"{'start':>9}  {'takes':>9}  {'GPU':>3}  {'disk':>7}  {'hours':9}  run"
    for job in jobs:
        if job.run.path not in left:
            each = known[job.run.path]
            yield f"{'':9}  {'':9}  {'':3}  {_bytes(each.disk):>7}  {'done':9}  {job.run.name}"
    names = {job.run.path: job.run.name for job in jobs}
    for slot in schedule.simulate(left, gpus):
        each = known[slot.task]
        start, takes = duration(3600 * slot.start), duration(3600 * each.hours)
        yield f"{start:>9}  {takes:>9}  {slot.machine:3}  {_bytes(each.disk):>7}  {each.kind:9}  {names[slot.task]}"


def _sums(known: dict[Path, Estimate], left: Tasks, profile: str) -> Iterable[str]:
    hours = Counter(dict.fromkeys(("measured", "shipped", *KINDS), 0.0))
    for path in left:
        hours[known[path].kind] += known[path].hours
    total = sum(hours.values())
    parts = ", ".join(f"{_hours(value)} {kind}" for kind, value in hours.items() if value)
    yield f"{profile}: {len(known)} runs, {len(known) - len(left)} done, {len(left)} to run"
    yield f"GPU hours: {_hours(total)}" + (f" ({parts})" if parts else "")
    sizes = [each.disk for each in known.values() if each.disk is not None]
    yield f"disk: {_bytes(sum(sizes))} for {len(sizes)} of {len(known)} runs (measured, else by their parameters)"
    memory = [each.memory for each in known.values() if each.memory]
    yield (
        f"memory: at most {max(memory):,.0f} MiB in the finished ones" if memory else "memory: not known, none has run"
    )


def _sources(jobs: list[Job], known: dict[Path, Estimate]) -> Iterable[str]:
    """Yield where the hours of each experiment come from."""
    yield "where the hours come from (GPU hours of the authors are those of their GPUs)"
    found = Counter((job.experiment.name, known[job.run.path]) for job in jobs)
    told = {(name, each.kind, each.source, each.hours): 0 for name, each in found if each.kind != "done"}
    for (name, each), count in found.items():
        if each.kind != "done":
            told[name, each.kind, each.source, each.hours] += count
    for (name, kind, source, hours), count in told.items():
        yield f"  {name:17} {count:3} x {duration(3600 * hours):>9}  {kind}: {source}"


def _critical(left: Tasks, names: dict[Path, str]) -> Iterable[str]:
    path = schedule.critical_path(left)
    yield f"critical path: {duration(3600 * sum(left[each].hours for each in path))}, {len(path)} runs"
    for each in path:
        yield f"  {duration(3600 * left[each].hours):>9}  {names[each]}"


def _machines(left: Tasks, machines: list[int]) -> Iterable[str]:
    """Yield the simulated makespan on each number of GPUs beside its bounds; ReproError if it is outside of them."""
    yield f"{'GPUs':>4}  {'until the end':>13}  {'no less than':>13}  {'that times':>10}  {'at most':>7}  {'busy':>5}"
    total = sum(task.hours for task in left.values())
    for count in machines:
        until, bound = schedule.makespan(schedule.simulate(left, count)), schedule.lower_bound(left, count)
        ratio, guarantee = until / bound if bound else 1.0, 2 - 1 / count
        if not 1 - 1e-9 <= ratio <= guarantee + 1e-9:
            raise ReproError(f"the schedule for {count} GPUs takes {ratio} times its lower bound: report this")
        busy = f"{total / (count * until):.0%}" if until else ""
        ends, least = duration(3600 * until), duration(3600 * bound)
        yield f"{count:4}  {ends:>13}  {least:>13}  {ratio:10.3f}  {guarantee:7.3f}  {busy:>5}"


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(size: float | None) -> str:
    if size is None:
        return "?"
    unit = next((unit for unit in (1e9, 1e6) if size >= unit), 1e3)
    return f"{size / unit:.1f} {({1e9: 'GB', 1e6: 'MB', 1e3: 'kB'})[unit]}"
