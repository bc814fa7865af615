"""A real first-order search (DARTS Sect. 3.1.1) in the fastest variant that passed, as far as the time goes.

It is `repro`'s own, in the folder's `runs`, and the next call goes on from its last checkpoint.
"""

import os
import signal
import statistics
from typing import Any

from benchmarks.certify import stages, summary
from benchmarks.certify.stages import Rows, Settings
from repro.configs.registry import find
from repro.recipe import run_recipe
from repro.runs.run import run_of

NAME, CASE = "cifar10-search", "search, order 1"
PLAIN = {"precision": "float32", "channels_last": "off", "capture": "off"}
TINY = {"dataset": "digits", "images": 64, "batch": 16, "channels": 2, "cells": 2, "nodes": 1, "epochs": 2}


def rows(settings: Settings) -> Rows:
    """Return the one measurement."""
    return {NAME: lambda: searched(settings)}


def searched(settings: Settings) -> dict[str, Any]:
    """Search until shortly before the deadline; return how far that is, and what an epoch takes."""
    before = stages.read(settings.folder, "search")["rows"].get(NAME, {})
    best = summary.fastest(settings.folder, CASE)
    chosen = before.get("options") or {**PLAIN, **(best[1]["options"] if best else {})}
    texts = {name: str(value).lower() for name, value in {"order": 1, **chosen}.items()}
    texts |= {"device": settings.device, "checkpoint_minutes": "0.25"}
    profile = "paper"
    if settings.size == "tiny":
        profile, texts = "smoke", {**texts, **{name: str(value) for name, value in TINY.items()}}
    os.environ["REPRO_RUNS"] = str(settings.folder / "runs")
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, max(0.5, settings.left() - min(5.0, settings.left() / 5)))
    try:
        run = run_recipe(NAME, profile, texts)
    except KeyboardInterrupt:
        run = run_of(find(NAME), profile, find(NAME).parameters.parse(texts))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    epochs = run.metrics()
    found = {"run": run.name, "options": chosen, "epochs": len(epochs), "last": epochs[-1] if epochs else {}}
    if epochs:
        found["seconds an epoch"] = statistics.median(row["seconds"] for row in epochs)
        found["hours"] = found["seconds an epoch"] * run.params.epochs / 3600
    return found if run.result is not None else {**found, "unfinished": "the same command goes on with it"}
