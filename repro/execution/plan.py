"""What a profile would run: in which order, how long, on how much disk, and on how many GPUs until when.

An hour is measured where runs of the same experiment and profile are finished here, or published. Else it is what such
a run took elsewhere, what the authors paid, or what the experiment's record estimates. The schedule is that of `repro
run --cluster`: a free GPU, or core, takes the run with the longest path left.
"""

import heapq
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

from repro.configs import hours as paid
from repro.configs.record import Experiment
from repro.execution import runner
from repro.execution.runner import Job
from repro.runs import provenance
from repro.runs.identity import resolve
from repro.runs.run import Run
from repro.runs.states import duration, survey


@dataclass(frozen=True)
class Task:
    """Something to run on one machine: how many hours it takes, and what must have ended before."""

    hours: float
    needs: tuple[Hashable, ...] = ()


@dataclass(frozen=True)
class Slot:
    """When and where a task runs, in hours from the beginning."""

    task: Hashable
    machine: int
    start: float
    end: float


Tasks = Mapping[Hashable, Task]


@dataclass(frozen=True)
class Estimate:
    """What one run takes; None: not known."""

    hours: float
    kind: str  # done, measured, shipped with the package, or one of KINDS
    source: str
    disk: float | None = None  # bytes
    memory: float | None = None  # the largest ever taken, in MiB


def estimates(jobs: list[Job], certified: Path | None = None) -> dict[Path, Estimate]:
    """Return an estimate for each job, by its run's folder; certified: steps measured on the GPUs that are planned."""
    finished, steps = defaultdict(list), paid.certified(certified) if certified else {}
    for run in survey()[0]:
        if run.result is not None:
            finished[run.experiment, run.profile].append(run)
    runs = lambda job: finished[job.experiment.name, job.run.profile]
    return {job.run.path: _estimate(job, runs(job), steps.get(job.experiment.name, [])) for job in jobs}


def _estimate(job: Job, finished: list[Run], steps: list[paid.Hours]) -> Estimate:
    """Return what is measured of the run itself, of runs that differ by the seed, of its steps, of its experiment.

    Else what its record says. Published runs count where there are no others; what they took of the disk is not known.
    """
    params, finished = job.run.params, [run for run in finished if not run.published] or finished
    own = [run for run in finished if run.path == job.run.path]
    alike = [run for run in finished if run.params.part("data", "protocol") == params.part("data", "protocol")]
    if own or alike:
        return _measured(job, own, own or alike)
    cost = paid.published(job.experiment, params)
    size = paid.disk(cost, params) if job.run.profile != "smoke" else None
    cost = (
        paid.by_steps(steps, job.experiment, params) or _scaled(cost, job.experiment, finished) or _shipped(job) or cost
    )
    return Estimate(cost.hours, cost.kind, cost.source, size)


def _shipped(job: Job) -> paid.Hours | None:
    """Return what the experiment's record has measured at the profile's size, by the run's share of its work."""
    known = paid.shipped(job.experiment, job.run.profile)
    return paid.share(known, resolve(job.experiment, job.run.profile, {}), job.run.params) if known else None


def _measured(job: Job, own: list[Run], like: list[Run]) -> Estimate:
    """Return what runs with the same data and protocol took; of the run itself only its notebook may be left."""
    hours = median(provenance.seconds(run.path) for run in like) / 3600
    memory = max(filter(None, (provenance.memory(run.path) for run in like)), default=None)
    published = like[0].published
    size = None if published else median(map(_size, like))
    if own and runner.is_done(job.run):
        return Estimate(0.0, "done", f"took {duration(3600 * hours)}", size, memory)
    source = f"{len(like)} {'published' if published else 'finished'} run{'s' * (len(like) > 1)} of this experiment"
    return Estimate(0.0 if own else hours, "measured", source, size, memory)


def _scaled(cost: paid.Hours, experiment: Experiment, finished: list[Run]) -> paid.Hours | None:
    """Return the hours of a run by those of runs with other parameters: `cost` and theirs say how much more it is."""
    shares = [cost.hours / paid.published(experiment, run.params).hours for run in finished]
    if not shares:
        return None
    seconds = [share * provenance.seconds(run.path) for share, run in zip(shares, finished, strict=True)]
    source = f"{len(finished)} run{'s' * (len(finished) > 1)} of this experiment with other parameters, by their work"
    return replace(cost, hours=median(seconds) / 3600, kind="derived", source=source)


def _size(run: Run) -> int:
    return sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())


def tasks(jobs: list[Job], known: dict[Path, Estimate]) -> Tasks:
    """Return what is still to run."""
    left = {job.run.path: job for job in jobs if known[job.run.path].kind != "done"}
    return {
        path: Task(known[path].hours, tuple(need for need in job.needs if need in left)) for path, job in left.items()
    }


def ranked(jobs: list[Job]) -> list[Job]:
    """Return the jobs in the order in which a free worker is to take them: the longest path left first."""
    left = remaining(tasks(jobs, estimates(jobs)))
    return sorted(jobs, key=lambda job: -left.get(job.run.path, 0.0))


def records(jobs: list[Job], gpus: int, certified: Path | None = None) -> dict:
    """Return the plan as JSON holds it: hours and bytes, in the order in which `gpus` GPUs take the runs."""
    known, names = estimates(jobs, certified), {job.run.path: job.run.name for job in jobs}
    slots = simulate(tasks(jobs, known), gpus)
    left = {slot.task: {"start_hours": slot.start, "gpu": slot.machine} for slot in slots}
    order = [*(path for path in names if path not in left), *left]
    rows = [{"run": names[path], **asdict(known[path]), **left.get(path, {})} for path in order]
    return {"gpus": gpus, "hours_until_the_end": makespan(slots), "runs": rows}


def remaining(tasks: Tasks) -> dict[Hashable, float]:
    """Return for each task the hours of the longest path that begins with it."""
    after: dict[Hashable, float] = {}
    order = TopologicalSorter({name: task.needs for name, task in tasks.items()})
    for name in reversed([*order.static_order()]):
        after[name] = tasks[name].hours + after.get(name, 0.0)
        for need in tasks[name].needs:
            after[need] = max(after.get(need, 0.0), after[name])
    return after


def critical_path(tasks: Tasks) -> list[Hashable]:
    """Return the tasks of a longest path, in their order."""
    left = remaining(tasks)
    path = [max(left, key=left.get)] if left else []
    while after := [name for name, task in tasks.items() if path[-1] in task.needs] if path else []:
        path.append(max(after, key=left.get))
    return path


def lower_bound(tasks: Tasks, machines: int) -> float:
    """Return the hours that no schedule can go below: the critical path, or the work divided by the machines."""
    total = sum(task.hours for task in tasks.values())
    return max([total / machines, *remaining(tasks).values()])


def simulate(tasks: Tasks, machines: int) -> list[Slot]:
    """Return the slots in order of their start: a free machine takes what is ready and has the longest path left."""
    left, place = remaining(tasks), {name: index for index, name in enumerate(tasks)}
    order = TopologicalSorter({name: task.needs for name, task in tasks.items()})
    order.prepare()
    ready, running, free, slots, now = [], [], list(range(machines)), [], 0.0
    while order.is_active():
        for name in order.get_ready():
            heapq.heappush(ready, (-left[name], place[name], name))
        while ready and free:
            _, index, name = heapq.heappop(ready)
            slots.append(Slot(name, heapq.heappop(free), now, now + tasks[name].hours))
            heapq.heappush(running, (slots[-1].end, index, slots[-1]))
        now, _, ended = heapq.heappop(running)
        heapq.heappush(free, ended.machine)
        order.done(ended.task)
    return slots


def makespan(slots: list[Slot]) -> float:
    """Return the hours until the last task has ended."""
    return max((slot.end for slot in slots), default=0.0)
