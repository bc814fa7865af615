"""A search's architecture gradient under a lens: Eq. 8 with other steps and in float64, and what lies beyond one step.

Every gradient is compared with `order="exact"` at the same weights, alpha and batches, in float64.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from repro.darts.bilevel import architecture_gradient, unrolled_terms
from repro.darts.cnn.search import Batch, ImageSearch
from repro.training.acceleration import without_tf32
from repro.training.observer import Observer

PRECISIONS = ("float32", "float64")


class Lens(Observer):
    """Looks at every `every`-th step of a search before it is taken.

    first: how many steps the search had taken when the epoch began.
    eps: steps of the finite difference times the gradient's norm (Eq. 8).
    terms: of the Neumann series, and virtual steps.
    """

    def __init__(self, search: ImageSearch, every: int, first: int, eps: Sequence[float], terms: Sequence[int]) -> None:
        self.search, self.every, self.first, self.eps, self.terms = search, every, first, eps, terms
        self.looks: list[dict[str, Any]] = []

    def before(self, index: int, train: Batch, valid: Batch) -> None:
        """Look before the step is taken."""
        if (self.first + index) % self.every == 0:
            with without_tf32():
                self.looks.append({"step": self.first + index, **look(self.search, train, valid, self.eps, self.terms)})

    @property
    def found(self) -> dict[str, Any]:
        """What the row of the epoch holds of it."""
        return {"looks": self.looks}

    def state_dict(self) -> dict[str, Any]:
        """Return the looks of this epoch."""
        return self.found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from those in `state`."""
        self.looks = list(state["looks"])


def look(search: ImageSearch, train: Batch, valid: Batch, eps: Sequence[float], terms: Sequence[int]) -> dict[str, Any]:
    """Compare gradients at one step of a search.

    `differences` hold, for each eps and precision, Eq. 7's second term by Eq. 8 against the exact one; `gradients` the
    whole gradient of each order against the exact one; `share` the second term's norm over the first's.
    """
    problems = dict(zip(PRECISIONS, (search.problem(train, valid), in_float64(search, train, valid)), strict=True))
    precise = problems["float64"]
    direct, implicit = (_flat(term) for term in unrolled_terms("exact", **precise))
    differences = [
        {"precision": name, "eps": each, **_against(implicit, unrolled_terms(2, **{**given, "eps": each})[1])}
        for name, given in problems.items()
        for each in eps
    ]
    kinds = {"first order": {"order": 1}}
    kinds |= {f"{order} {k}": {"order": order, "terms": k} for order in ("implicit", "unrolled") for k in terms}
    gradients = {
        name: _against(direct - implicit, architecture_gradient(**how, **precise)) for name, how in kinds.items()
    }
    return {"differences": differences, "gradients": gradients, "share": (implicit.norm() / direct.norm()).item()}


def medians(looks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median cosines over looks: Eq. 8's by precision and eps (as text), and whole gradients' by order."""
    cosines: dict[str, dict[str, list[float]]] = {}
    for each in looks:
        for row in each["differences"]:
            cosines.setdefault(row["precision"], {}).setdefault(f"{row['eps']:g}", []).append(row["cosine"])
        for name, row in each["gradients"].items():
            cosines.setdefault("gradients", {}).setdefault(name, []).append(row["cosine"])
    return {name: {key: median(values) for key, values in group.items()} for name, group in cosines.items()}


def in_float64(search: ImageSearch, train: Batch, valid: Batch) -> dict[str, Any]:
    """Return the same with a copy of the network, its momentum and both batches in float64."""
    network = copy.deepcopy(search.network).double()
    optimizer = torch.optim.SGD(network.weights(), lr=1.0)
    optimizer.load_state_dict(search.weight_optimizer.state_dict())
    twin = replace(search, network=network, weight_optimizer=optimizer, bf16=False)
    return twin.problem(*((images.double(), labels) for images, labels in (train, valid)))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten().double() for tensor in tensors])


def _against(exact: Tensor, tensors: Sequence[Tensor]) -> dict[str, float]:
    """Return cosine and relative error of a gradient against the exact one."""
    found = _flat(tensors)
    cosine = torch.cosine_similarity(found, exact, dim=0)
    return {"cosine": cosine.item(), "relative_error": ((found - exact).norm() / exact.norm()).item()}
