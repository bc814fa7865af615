"""The single-path supernet against a reference file (SPOS Sect. 3): one path's logits, loss and gradients.

Registered in `repro.originals.verify` under the key "stage_channels" of the file's config.
"""

from collections.abc import Iterator

import torch
from torch.nn.functional import cross_entropy

from repro.originals.vectors import EXACT, Archive, Finding, compare, difference, entry, released_weights
from repro.spos.choice_blocks import ChoiceNetwork, Layout, load_released


def check(archive: Archive) -> Iterator[Finding]:
    """Compare logits of both modes (no dropout), the loss, which parameters get a gradient, and their norms."""
    network = _network(archive)
    x, y = torch.as_tensor(archive["x"]).double(), torch.as_tensor(archive["y"])
    gene = archive["architecture"].tolist()
    yield compare(archive, "logits_eval", network.eval()(x, gene))
    logits = network.train()(x, gene)
    loss = cross_entropy(logits, y)
    loss.backward()
    yield compare(archive, "logits_train_dropout0", logits)
    yield compare(archive, "loss", loss)
    parameters = dict(network.named_parameters())
    gradients = [parameters[str(name)].grad for name in archive["param_names"]]
    norms = torch.stack([torch.tensor(torch.nan) if g is None else g.norm() for g in gradients]).double()
    expected = torch.as_tensor(archive["grad_norms"])
    yield Finding("path", float((norms.isnan() != expected.isnan()).sum()), 0.0)
    yield Finding("grad_norms", difference(norms.nan_to_num(0), expected.nan_to_num(0)), EXACT)


def _network(archive: Archive) -> ChoiceNetwork:
    config = entry(archive, "config")
    stem, *widths, head = config["stage_channels"]
    layout = Layout(
        size=archive["x"].shape[-1],
        channels=archive["x"].shape[1],
        classes=config["num_classes"],
        stem=stem,
        widths=tuple(widths),
        repeats=tuple(config["stage_repeats"]),
        head=head,
        dropout=0.0,
    )
    network = ChoiceNetwork(layout, config["choices"]).double()
    load_released(network, released_weights(archive))
    return network
