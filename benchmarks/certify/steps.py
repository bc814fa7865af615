"""Steps of every experiment, in the plain formulation and in every variant: time, peak memory, and how right they are.

A variant is right if, from states that float32 has come to, its losses are float32's within LOSS, and its gradients
point where float32's do: a cosine of COSINE at least. Of the plain formulation the losses from the start are compared.
"""

import importlib
import statistics
import time
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import floors, paths
from benchmarks.cases import Options, Step, cases
from benchmarks.certify.stages import Rows, Settings
from benchmarks.measure import seconds, warmed
from repro.training import devices

LOSS, COSINE = 0.05, 0.95
COMPARED = 3  # steps
ROUNDS = {"tiny": (1, 0.0), "paper": (3, 0.7)}  # at least so many, and so many seconds
CASES = {**cases(), **paths.CASES}
# Measured before the rest, in every case: what experiments take by themselves, and what promises the most
SOONER = ("float32", "graph", "graph, bf16", "graph, dense, bf16", "bf16", "plain")


class State(NamedTuple):
    """Where float32 was before a step, and what the step gave."""

    before: list[Tensor]
    loss: float
    gradients: list[Tensor]


def rows(settings: Settings) -> Rows:
    """Return a measurement for each case and variant, in order of worth; those that are compiled come last."""
    device = "meta" if settings.device == "meta" else devices.pick(settings.device).type
    how = {
        f"{case}: {variant}": partial(measured, case, variant, options, settings.size, device)
        for case, each in CASES.items()
        for variant, options in {"plain": None, **each.variants()}.items()
    }
    rank = {variant: place for place, variant in enumerate(SOONER)}
    worth = lambda row: ("compile" in row, rank.get(row.partition(": ")[2], len(rank)))
    return {row: how[row] for row in sorted(how, key=worth)}


def measured(name: str, variant: str, options: Options | None, size: str, device: str) -> dict[str, Any]:
    """Measure a variant of a case."""
    case = CASES[name]
    if "compile" in (options or {}):
        importlib.import_module("torch._inductor.config").fallback_random = True  # it drops what the others drop
    found = {"case": name, "variant": variant, "options": options, "experiment": case.experiment, "where": case.where}
    reference = None if device == "meta" else float32(name, size, device)
    step, firsts, found["peak_mib"] = warmed(lambda: case.make(options, size, device), device)
    if not {"capture", "compile"} & {*(options or {})}:
        found["counted"] = floors.count(step)  # a graph, and what is compiled, hide what they launch
    if reference is None:
        return found
    found |= {"seconds": statistics.median(timed(step, size, device))}
    if size == "paper":
        found["hours"] = found["seconds"] * case.protocol / 3600
    found |= compared(step, reference[0]) if options is not None else {"losses": [firsts, reference[1]]}
    found["loss_difference"] = max(abs(ours / theirs - 1) for ours, theirs in zip(*found["losses"], strict=True))
    return {**found, "passed": found["loss_difference"] <= LOSS and found.get("cosine", 1.0) >= COSINE}


def timed(step: Step, size: str, device: str) -> list[float]:
    """Return the seconds of some steps."""
    (least, budget), taken, began = ROUNDS[size], [], time.monotonic()
    while len(taken) < least or time.monotonic() - began < budget:
        taken.append(seconds(step, device))
    return taken


@cache
def float32(name: str, size: str, device: str) -> tuple[list[State], list[float]]:
    """Return states of a float32 search with what its steps give there, and its first losses."""
    step, firsts, _ = warmed(lambda: CASES[name].make({}, size, device), device)
    states = []
    for number in range(COMPARED):
        before = [tensor.detach().clone() for tensor in step.moving()]
        torch.manual_seed(number)
        loss = step().item()
        states.append(State(before, loss, [p.grad.clone() for p in graded(step)]))
    return states, firsts


def compared(step: Step, states: list[State]) -> dict[str, Any]:
    """Return losses beside those of float32, and the least cosine of gradients, each step from float32's state."""
    losses, cosines = [], []
    for number, state in enumerate(states):
        with torch.no_grad():
            for tensor, value in zip(step.moving(), state.before, strict=True):
                tensor.copy_(value)  # in place: a graph reads them
        torch.manual_seed(number)
        losses.append(step().item())
        pairs = [[p.grad for p in graded(step)], state.gradients]
        ours, theirs = (torch.cat([gradient.flatten().double() for gradient in each]) for each in pairs)
        cosines.append(torch.cosine_similarity(ours, theirs, dim=0).item())
    return {"losses": [losses, [state.loss for state in states]], "cosine": min(cosines)}


def graded(step: Step) -> list[Tensor]:
    """Return what has a gradient."""
    return [p for p in step.parameters() if p.grad is not None]
