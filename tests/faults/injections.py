"""The faults: each is put into a real run, and returns how often it was and what became of the run.

What became of it is one of two: it ended with the files of an undisturbed run, bit for bit, or it said why not, in one
line, and ended so once the cause was gone. Anything else is an AssertionError.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hindrances
import hostile
from bad_parameters import Answer, refused
from listeners import descendants
from scene import PATIENCE, Scene, compare
from tiny import make_data

from repro.runs import provenance

SAME = "ended bit-identical"
SAID = "said why, then ended bit-identical"
Fault = Callable[[Scene, Path, random.Random], tuple[int, str]]


def ended(scene: Scene, undisturbed: Path) -> str:
    """Let the run end and compare it."""
    scene.finish()
    scene.check()
    compare(scene.run, undisturbed)
    return SAME


def interrupted(scene: Scene, dice: random.Random, *prepare: Any) -> bool:
    """Start the run and kill it at a random moment; whether it was still at work."""
    process = scene.start(*prepare)
    scene.wait(process, dice.uniform(0, scene.seconds))
    process.kill()
    process.join()
    scene.check()
    return process.exitcode == -signal.SIGKILL


def killed(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """SIGKILL at random moments, again and again."""
    count = sum(interrupted(scene, dice) for _ in range(4))
    return count, ended(scene, undisturbed)


def said(scene: Scene, process: Any, *words: str) -> None:
    """The run must stop and say so in one line."""
    process.join(PATIENCE)
    status = process.exitcode
    line = scene.said.splitlines()[-1][scene.said.splitlines()[-1].rfind("repro: ") :]
    assert refused(Answer(status, line), alone=False), f"{scene.name} took it: {scene.said[-2000:]}"
    assert any(word in line for word in words), line
    assert "Traceback" not in scene.said, scene.said[-3000:]


# ---- the disk


def full(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The disk fills up after some bytes, wherever in a file that is; later there is room again."""
    count = 0
    for _ in range(2):
        process = scene.start(hindrances.little_room, dice.randrange(written(undisturbed) // 2))
        if scene.end(process):
            said(scene, process, "No space left on device")
            count += 1
        scene.check()
    ended(scene, undisturbed)
    return count, SAID


def written(run: Path) -> int:
    """The bytes that a run writes, about."""
    epochs = sum(path.read_bytes().count(b"\n") for path in run.glob("**/metrics.jsonl"))
    sizes = [path.stat().st_size for path in run.glob("**/*.pt")]
    return 2000 + epochs * (1000 + (sum(sizes) // len(sizes) if sizes else 0))


def small_disk(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The runs lie on a real small disk, which fills up (where a tmpfs may be mounted); later on a large one."""
    runs, back = scene.folder / "runs", scene.folder / "back"
    there = sum(path.stat().st_size + 4096 for path in runs.rglob("*"))
    process = scene.start(hindrances.on_small_disk, runs, there + dice.randrange(written(undisturbed)), back)
    process.join(PATIENCE)
    if "no disk can be mounted here" in scene.said:
        return 0, "not possible here"
    full = process.exitcode != 0
    if full:
        said(scene, process, "No space left on device")
    shutil.rmtree(runs)
    back.rename(runs)
    scene.check()
    ended(scene, undisturbed)
    return int(full), SAID


# ---- files


def at_work(scene: Scene) -> list[Path]:
    """Leave the run killed at work; return the folders of its parts that are not done."""
    process = scene.start(hindrances.die, 4 if scene.name.endswith(("-select", "-random")) else 3)
    scene.end(process)
    assert process.exitcode == -signal.SIGKILL
    scene.check()
    return [path.parent for path in scene.run.glob("**/metrics.jsonl") if not (path.parent / "result.json").exists()]


def damaged(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The newest checkpoint is cut, or another file, while the run is down: the one before it counts."""
    paths = [path / "checkpoint.pt" for path in at_work(scene) if (path / "checkpoint.pt").exists()]
    for path in paths:
        kind = dice.choice(("cut", "hole", "other kind", "pickle"))
        path.write_bytes(hostile.changed(path.read_bytes(), kind, dice, scene.folder / "sentinel"))
    outcome = ended(scene, undisturbed)
    assert scene.said.count("it is passed over") >= len(paths), scene.said[-1000:]
    assert not (scene.folder / "sentinel").exists(), "code was executed"
    return len(paths), outcome


def lost(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """All checkpoints are cut short: what they hold is computed again."""
    paths = [path for part in at_work(scene) for path in part.glob("checkpoint*.pt")]
    for path in paths:
        path.write_bytes(path.read_bytes()[: dice.randrange(path.stat().st_size)])
    scene.covered.clear()
    return len(paths), ended(scene, undisturbed)


def cut(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The last line of metrics.jsonl is cut short, as a machine that loses power may leave it."""
    parts = at_work(scene)
    for part in parts:
        with open(part / "metrics.jsonl", "ab") as file:
            file.write(b'{"epoch": 99, "gene": [1, 2')
    return len(parts), ended(scene, undisturbed)


def broken(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """A line in the middle of metrics.jsonl is damaged while the run is down: the run names it."""
    (part, *_) = at_work(scene)
    file = part / "metrics.jsonl"
    content = file.read_bytes()
    place = dice.randrange(content.index(b"\n"))
    file.write_bytes(content[:place] + b"\x00" + content[place + 1 :])
    said(scene, scene.start(), "line 1 is damaged")
    file.write_bytes(content)
    ended(scene, undisturbed)
    return 1, SAID


def other_data(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The data are replaced, as valid ones, while the run is down: it refuses to go on with them."""
    at_work(scene)
    held = scene.folder / "held"
    (scene.folder / "data").rename(held)
    make_data(scene.folder / "data", seed=dice.randrange(1, 100))
    said(scene, scene.start(), "changed since the run began")
    shutil.rmtree(scene.folder / "data")
    held.rename(scene.folder / "data")
    ended(scene, undisturbed)
    return 1, SAID


def changing_data(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The data are replaced under a run at work: it has read them and goes on."""
    process = scene.start()
    scene.wait(process, 60, lambda: bool([*scene.folder.glob(f"runs/{scene.name}/*/metrics.jsonl")]))
    time.sleep(dice.uniform(0, 0.5) * scene.seconds)
    shutil.rmtree(scene.folder / "data")
    make_data(scene.folder / "data", seed=1)
    assert scene.end(process) == 0, scene.said[-1000:]
    compare(scene.run, undisturbed)
    assert provenance.read(scene.run)["data"] == provenance.read(undisturbed)["data"]
    return 1, SAME


def lost_picture(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """A picture is removed or damaged while the run is down."""
    at_work(scene)
    picture = dice.choice(sorted(scene.run.glob("pictures/val/*/*.jpg")))
    content = picture.read_bytes()
    picture.unlink()
    if dice.random() < 0.5:
        picture.write_bytes(content[: len(content) // 3])
    said(scene, scene.start(), "changed since the run began", "cannot be read")
    picture.write_bytes(content)
    ended(scene, undisturbed)
    return 1, SAID


def other_cell(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The genotype file that the run was given is another one when it goes on: that makes another run beside it."""
    at_work(scene)
    first, file = scene.run, Path(scene.parameters["genotype"])
    content = file.read_text()
    file.write_text(content.replace("max_pool_3x3", "avg_pool_3x3").replace("sigmoid", "tanh"))
    scene.finish()
    (other,) = {*first.parent.glob("*")} - {first}
    assert (other / "result.json").exists()
    shutil.rmtree(other)
    file.write_text(content)
    return 1, ended(scene, undisturbed)


# ---- time and company


def wrong_clock(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """The clock jumps by years under a run and between its sessions, and with it the times of its files."""
    for _ in range(2):
        interrupted(scene, dice, hindrances.jump, dice.randrange(10**6))
        when = dice.choice((0, 4e9))
        for path in scene.folder.glob(f"runs/{scene.name}/**/*"):
            os.utime(path, (when, when))
    return 2, ended(scene, undisturbed)


def company(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """Two processes are started on one run: one at a time works, the other waits for it or says who holds it."""
    first = scene.start()
    scene.wait(first, dice.choice((0, dice.uniform(0, scene.seconds))))
    second = scene.start()
    statuses = [scene.end(process) for process in (first, second)]
    assert 0 in statuses, scene.said[-2000:]
    assert "Traceback" not in scene.said, scene.said[-3000:]
    if any(statuses):
        assert "is in use by" in scene.said, scene.said[-2000:]
    scene.check()
    compare(scene.run, undisturbed)
    return 1, SAME


# ---- several processes


def member(scene: Scene, undisturbed: Path, dice: random.Random) -> tuple[int, str]:
    """SIGKILL to one of the processes of a group, or to what started them: the others end, and none is left behind."""
    process = scene.start()
    scene.wait(process, dice.uniform(0.3, 1) * scene.seconds)
    group = [process.pid, *descendants(process.pid)]
    victim = dice.choice(group)
    alive = process.is_alive()
    if alive:
        os.kill(victim, signal.SIGKILL)
    process.join(PATIENCE)
    end = time.monotonic() + 30
    while (left := [pid for pid in group[1:] if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left, f"{len(left)} processes are left behind"
    if process.exitcode > 0:
        said(scene, process, "goes on from the last checkpoint")
    scene.check()
    ended(scene, undisturbed)
    return int(alive and process.exitcode != 0), SAID if process.exitcode > 0 else SAME
