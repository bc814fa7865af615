"""List scheduling on random graphs: Graham's bounds, needs respected, no machine taken twice at once."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.execution.plan import Task, critical_path, lower_bound, makespan, remaining, simulate


@st.composite
def graphs(draw):
    """Tasks whose needs are among those before them; some take no time."""
    count = draw(st.integers(0, 24))
    hours = draw(st.lists(st.floats(0, 100), min_size=count, max_size=count))
    needs = [tuple(draw(st.sets(st.integers(0, i - 1), max_size=4))) if i else () for i in range(count)]
    return {i: Task(h, n) for i, (h, n) in enumerate(zip(hours, needs, strict=True))}


@settings(max_examples=300)
@given(graphs(), st.integers(1, 9))
def test_a_schedule_is_possible_and_within_grahams_bound(tasks, machines):
    slots = simulate(tasks, machines)
    assert sorted(slot.task for slot in slots) == sorted(tasks)
    at = {slot.task: slot for slot in slots}
    for name, task in tasks.items():
        assert at[name].end == at[name].start + task.hours
        assert all(at[need].end <= at[name].start for need in task.needs)
    for machine in range(machines):
        own = sorted((slot.start, slot.end) for slot in slots if slot.machine == machine)
        assert all(before[1] <= after[0] for before, after in pairwise(own))
    assert all(0 <= slot.machine < machines for slot in slots)
    bound, slack = lower_bound(tasks, machines), 1e-9 * (1 + sum(task.hours for task in tasks.values()))
    assert bound - slack <= makespan(slots) <= (2 - 1 / machines) * bound + slack


@settings(max_examples=100)
@given(graphs())
def test_enough_machines_take_as_long_as_the_critical_path(tasks):
    path = critical_path(tasks)
    assert all(before in tasks[after].needs for before, after in pairwise(path))
    length = sum(tasks[name].hours for name in path)
    assert length == pytest.approx(max(remaining(tasks).values(), default=0.0))
    assert makespan(simulate(tasks, max(1, len(tasks)))) == pytest.approx(length)
    assert makespan(simulate(tasks, 1)) == pytest.approx(sum(task.hours for task in tasks.values()))


def test_the_longest_path_goes_first():
    tasks = {"short": Task(1.0), "long": Task(2.0), "after": Task(3.0, ("short",))}
    assert [slot.task for slot in simulate(tasks, 1)] == ["short", "after", "long"]
    assert critical_path(tasks) == ["short", "after"]
    assert lower_bound(tasks, 2) == 4.0
    assert makespan(simulate(tasks, 2)) == 4.0


def test_tasks_that_wait_for_each_other_are_refused():
    with pytest.raises(ValueError, match="cycle"):
        simulate({"a": Task(1.0, ("b",)), "b": Task(1.0, ("a",))}, 1)
