"""List scheduling: runs with needs on machines that are all alike, the longest remaining path first.

No schedule is shorter than the critical path, nor than all work divided by the machines; one that leaves no machine
idle beside a run that could start takes at most 2 - 1/m times as long as the larger of both (Graham, 1966).
"""

import heapq
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter


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


def remaining(tasks: Tasks) -> dict[Hashable, float]:
    """Return for each task the hours of the longest path that begins with it."""
    after: dict[Hashable, float] = {}
    for name in reversed(_order(tasks)):
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
    open_needs = {name: len(set(task.needs)) for name, task in tasks.items()}
    ready = [(-left[name], place[name], name) for name, count in open_needs.items() if not count]
    heapq.heapify(ready)
    free, running, slots, now = list(range(machines)), [], [], 0.0
    while ready or running:
        while ready and free:
            _, index, name = heapq.heappop(ready)
            slot = Slot(name, heapq.heappop(free), now, now + tasks[name].hours)
            slots.append(slot)
            heapq.heappush(running, (slot.end, index, slot))
        now, _, ended = heapq.heappop(running)
        heapq.heappush(free, ended.machine)
        for name, task in tasks.items():
            if ended.task in task.needs:
                open_needs[name] -= 1
                if not open_needs[name]:
                    heapq.heappush(ready, (-left[name], place[name], name))
    return slots


def makespan(slots: list[Slot]) -> float:
    """Return the hours until the last task has ended."""
    return max((slot.end for slot in slots), default=0.0)


def _order(tasks: Tasks) -> list[Hashable]:
    return list(TopologicalSorter({name: task.needs for name, task in tasks.items()}).static_order())
