"""The starter of several processes: it never waits for none."""

from types import SimpleNamespace

from repro.configs.registry import find
from repro.execution import launcher
from repro.runs.run import open_run


class Ending:
    """A stand-in for a process that is seen running `looks` times, and ends right after the last one."""

    pid = 1

    def __init__(self, looks):
        self.looks, self.sentinel = looks, object()

    @property
    def exitcode(self):
        self.looks -= 1
        return None if self.looks >= 0 else 0

    def is_alive(self):
        return False

    start = terminate = kill = join = lambda self, *_: None


def test_a_process_that_ends_between_two_looks_is_not_waited_for_in_vain(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    made, waited = iter([Ending(0), Ending(1)]), []
    context = SimpleNamespace(Process=lambda **_: next(made))
    monkeypatch.setattr(launcher.multiprocessing, "get_context", lambda _: context)
    monkeypatch.setattr(launcher, "wait", lambda left, _: waited.append(len(left)) or left)
    run = open_run(find("cifar10-search"), "smoke", {"processes": 2})
    assert launcher._ends(run, tmp_path) == [0, 0]
    assert waited == [1]
