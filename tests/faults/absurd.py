"""Values that are within the bounds of their parameters and absurd all the same, each in a real run of its own."""

import dataclasses
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import hindrances
from bad_parameters import Answer, refused
from scene import Scene
from tiny import TINY

from repro.configs.registry import EXPERIMENTS

SECONDS = 20.0
NUMBERS = {int: ("1", "2", "1000003", str(10**15)), float: ("0", "1e-300", "0.999", "1e6", "1e300")}
AS_LONG = (
    "epochs",
    "steps",
    "iterations",
    "generations",
    "samples",
    "evaluated_paths",
    "networks",
    "processes",
    "population",
)
AS_LONG += (
    "paths",
    "warm_up_steps",
    "mutation",
    "crossover",
    "parents",
    "cells",
    "nodes",
    "workers",
)  # more of them only takes longer


def values() -> Iterator[tuple[str, str, str]]:
    """Every experiment that trains, with every number in it, absurd."""
    for experiment in (EXPERIMENTS[name] for name in TINY):
        hints = get_type_hints(experiment.parameters)
        for field in dataclasses.fields(experiment.parameters):
            for text in NUMBERS.get(hints[field.name], ()):
                if field.name not in AS_LONG or text in ("1", "2"):
                    yield experiment.name, field.name, text


def explore(tally: Counter, folder: Path, count: int, seed: int) -> None:
    """Run so many of them; AssertionError names one that does not end, or not in one line."""
    chosen = [*values()]
    random.Random(seed).shuffle(chosen)
    scenes = {
        name: Scene(folder / name, name).undisturbed() for name in sorted({name for name, _, _ in chosen[:count]})
    }
    for name, key, text in chosen[:count]:
        scene = scenes[name].copy(folder / "absurd")
        scene.parameters = {**scene.parameters, key: text}
        tally["absurd number in a real run", ended(scene, SECONDS)] += 1
        shutil.rmtree(scene.folder)


def ended(scene: Scene, seconds: float) -> str:
    """Run, and say what became of it: refused in one line, accepted, or `at work`, which is what was asked for."""
    process = scene.start(hindrances.little_memory)
    process.join(seconds)
    process.kill()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return "at work"
    assert "Traceback" not in scene.said, f"{scene.name} with {scene.parameters}: {scene.said[-1500:]}"
    line = scene.said.splitlines()[-1] if scene.said else ""
    bad = refused(Answer(process.exitcode, line[max(line.rfind("repro: "), 0) :]), alone=False)
    return "refused" if bad else "accepted"
