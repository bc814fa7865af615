"""The convolutional networks against reference files: evaluation (DARTS Sect. 3.2, A.2.3) and search (Sect. 2).

A checker takes an archive and yields a finding for each of its results.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from repro.darts.bilevel import Functional, architecture_gradient
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.search_network import SearchNetwork
from repro.darts.discretise import conv_genotype
from repro.errors import ReproError
from repro.originals.cnn import Place, load_released, places, released_view
from repro.originals.vectors import EXACT, FINITE_DIFFERENCE, Archive, Finding, compare, entry, released_weights
from repro.spaces.genotypes import SEARCH_OPERATIONS, from_json


def check_evaluation(archive: Archive) -> Iterator[Finding]:
    """Compare logits of both modes, the training loss, and the norm of every parameter's gradient."""
    config = entry(archive, "config")
    x, y = _images(archive, "x"), torch.as_tensor(archive["y"])
    network = EvaluationNetwork(
        from_json(entry(archive, "genotype")),
        config["kind"],
        channels=config["init_channels"],
        classes=config["num_classes"],
        cells=config["layers"],
        in_channels=x.shape[1],
    )
    load_released(network.double(), released_weights(archive))
    yield compare(archive, "logits_eval", network.eval()(x)[0])
    logits, auxiliary = network.train()(x)
    loss = cross_entropy(logits, y) + config["auxiliary_weight"] * cross_entropy(auxiliary, y)
    loss.backward()
    yield compare(archive, "logits_train", logits)
    yield compare(archive, "logits_aux", auxiliary)
    yield compare(archive, "loss", loss)
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    yield compare(archive, "grad_norms", _norms(archive, places(network), gradients))


def check_search(archive: Archive) -> Iterator[Finding]:
    """Compare logits, gradients, all three architecture gradients, one whole search step, and the genotype."""
    config = entry(archive, "config")
    network = _search_network(archive, config)
    released = places(network)
    parameters = dict(network.named_parameters())
    names = [name for name in parameters if not name.startswith("alphas_")]
    weights, alphas = network.weights(), network.alphas
    train, valid = (_batch_loss(network, archive, part) for part in ("train", "valid"))

    x, y = _images(archive, "x_train"), torch.as_tensor(archive["y_train"])
    yield compare(archive, "logits_eval", network.eval()(x))
    logits = network.train()(x)
    loss = cross_entropy(logits, y)
    gradients = torch.autograd.grad(loss, [*weights, *alphas])
    yield compare(archive, "logits_train", logits)
    yield compare(archive, "loss_train", loss)
    yield compare(archive, "grad_norms", _norms(archive, released, dict(zip(names, gradients, strict=False))))
    yield from _compare_cells(archive, "grad_alphas_", gradients[-2:])

    momenta = _momenta(archive, released, parameters)
    step = {
        "xi": config["eta"],
        "momentum": config["momentum"],
        "buffers": [momenta[name] for name in names],
        "weight_decay": config["weight_decay"],
    }
    orders = {"first_order/": 1, "second_order_exact/": "exact", "second_order/": 2}
    for name, order in orders.items():
        found = architecture_gradient(order, train, valid, weights, alphas, **step)
        yield from _compare_cells(archive, name, found, FINITE_DIFFERENCE if order == 2 else EXACT)
    cells = conv_genotype(*alphas)
    agree = cells == from_json(entry(archive, "genotype"))
    yield Finding("genotype", 0.0 if agree else float("inf"), EXACT)

    norm = _search_step(network, config, found, momenta, lambda: cross_entropy(network(x), y))
    yield from _compare_cells(archive, "after_step/alphas_", alphas, FINITE_DIFFERENCE)
    yield compare(archive, "after_step/grad_norm", norm, FINITE_DIFFERENCE)
    moved = [released_view(parameters, released[name]) for name in archive["param_names"]]
    sums, norms = torch.stack([part.sum() for part in moved]), torch.stack([part.norm() for part in moved])
    yield compare(archive, "after_step/weight_norms", norms, FINITE_DIFFERENCE)
    yield compare(archive, "after_step/weight_sums", sums, FINITE_DIFFERENCE)


def _search_network(archive: Archive, config: dict) -> SearchNetwork:
    if tuple(config["primitives"]) != SEARCH_OPERATIONS:
        raise ReproError(f"its primitives are {config['primitives']}: expected {', '.join(SEARCH_OPERATIONS)}")
    if config["multiplier"] != config["nodes"]:
        raise ReproError(f"it joins {config['multiplier']} of {config['nodes']} nodes: expected all of them")
    network = SearchNetwork(
        channels=config["init_channels"],
        classes=config["num_classes"],
        cells=config["layers"],
        nodes=config["nodes"],
        stem_multiplier=config["stem_multiplier"],
        in_channels=archive["x_train"].shape[1],
    )
    load_released(network.double(), released_weights(archive))
    with torch.no_grad():
        for alpha, cell in zip(network.alphas, ("normal", "reduce"), strict=True):
            alpha.copy_(torch.as_tensor(archive[f"alphas_{cell}"]))
    return network


def _batch_loss(network: SearchNetwork, archive: Archive, part: str) -> Callable[..., Tensor]:
    x, y = _images(archive, f"x_{part}"), torch.as_tensor(archive[f"y_{part}"])
    apply = Functional(network, network.weights(), network.alphas)
    return lambda weights, alphas: cross_entropy(apply(weights, alphas, x), y)


def _momenta(archive: Archive, released: Mapping[str, Place], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return SGD's momentum buffers under our names."""
    momenta = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for name in archive["param_names"]:
        part = released_view(momenta, released[name])
        part.copy_(torch.as_tensor(archive[f"momentum/{name}"]).reshape(part.shape))
    return momenta


def _search_step(
    network: SearchNetwork,
    config: dict,
    slope: Sequence[Tensor],
    momenta: Mapping[str, Tensor],
    loss: Callable[[], Tensor],
) -> Tensor:
    """Move alpha by Adam, then w by clipped SGD; return the norm of w's gradient before clipping."""
    decay = config["arch_weight_decay"]
    adam = torch.optim.Adam(network.alphas, config["arch_lr"], tuple(config["arch_betas"]), weight_decay=decay)
    for alpha, gradient in zip(network.alphas, slope, strict=True):
        alpha.grad = gradient
    adam.step()
    weights = network.weights()
    sgd = torch.optim.SGD(weights, config["eta"], config["momentum"], weight_decay=config["weight_decay"])
    for name, parameter in network.named_parameters():
        if not name.startswith("alphas_"):
            sgd.state[parameter]["momentum_buffer"] = momenta[name]
    loss().backward(inputs=weights)
    norm = nn.utils.clip_grad_norm_(weights, config["grad_clip"])
    sgd.step()
    return norm


def _images(archive: Archive, name: str) -> Tensor:
    return torch.as_tensor(archive[name]).double()


def _norms(archive: Archive, released: Mapping[str, Place], gradients: Mapping[str, Tensor]) -> Tensor:
    """Return the norms of the gradients in the archive's order of parameters."""
    return torch.stack([released_view(gradients, released[name]).norm() for name in archive["param_names"]])


def _compare_cells(
    archive: Archive, prefix: str, values: Sequence[Tensor], tolerance: float = EXACT
) -> Iterator[Finding]:
    """Compare what there is for the normal and for the reduction cells."""
    for cell, value in zip(("normal", "reduce"), values, strict=True):
        yield compare(archive, prefix + cell, value, tolerance)
