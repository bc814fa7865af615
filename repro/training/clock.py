"""When an epoch under way is checkpointed: after so many minutes, at the same step in all processes."""

import time

from repro.training import parallel


class Clock:
    """When it is time for a checkpoint within an epoch.

    The first process's clock decides. All agree by counting steps, and it is looked at after 1, 2, 4, ... of them, or
    when it should be time at the pace so far: to ask it in every step would make a GPU wait.
    """

    def __init__(self, seconds: float) -> None:
        self.between = seconds
        self.restart()

    def restart(self) -> None:
        """Count from now, when there is a checkpoint."""
        self.saved = time.monotonic()
        self.restart_count()

    def restart_count(self) -> None:
        """Count steps from now: they may have another pace than those before."""
        self.began, self.steps, self.look = time.monotonic(), 0, 1

    def is_time(self) -> bool:
        """Count a step, and return whether it is time after it."""
        self.steps += 1
        if self.steps < self.look:
            return False
        wait = parallel.from_leader(self._wait)
        self.look = self.steps + wait
        return wait == 0

    def _wait(self) -> int:
        """Return how many steps to take before the next look; 0 if it is time."""
        now = time.monotonic()
        left, pace = self.saved + self.between - now, max(now - self.began, 1e-9) / self.steps
        return max(1, int(min(self.steps, left / pace))) if left > 0 else 0
