"""The authors' recurrent checkpoints: a pickled module, read as data, or a state dict (DARTS, Penn Treebank).

PyTorch's reader of tensors alone (`weights_only=True`) reads the file. The released classes are known to it as `Inert`,
which keeps what it is given and does nothing; a file that names any other class or function is refused.
"""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repro.errors import ReproError
from repro.genotypes import RecurrentGenotype
from repro.recurrent import LanguageModel

RELEASED = (
    "model.RNNModel",
    "model.DARTSCell",
    "model_search.RNNModelSearch",
    "model_search.DARTSCellSearch",
    "locked_dropout.LockedDropout",
    "genotypes.Genotype",
    "torch.nn.modules.sparse.Embedding",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.batchnorm.BatchNorm1d",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.container.ParameterList",
    "torch.nn.backends.thnn._get_thnn_function_backend",
    "builtins.range",
)
MOST = 100  # states of a cell
DEPTH = 8  # of modules in modules


class Inert:
    """Stands for a class or function of the released code: it holds its arguments and its state."""

    dump_patches = False  # PyTorch asks this of a module's class

    def __new__(cls, *arguments: Any) -> "Inert":
        """Keep the arguments."""
        held = super().__new__(cls)
        held.arguments, held.state = arguments, {}
        return held

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_model(path: str | Path) -> tuple[dict[str, Tensor], RecurrentGenotype | None]:
    """Return the state dict, under its released names, and the genotype that a released file holds.

    The file is the whole module, as the authors saved it, or a state dict, which has no genotype. ReproError says why a
    file is refused.
    """
    held = _read(Path(path))
    if isinstance(held, Mapping):
        state, genotype = dict(held), None
    else:
        try:
            state, genotype = dict(_tensors(held)), _genotype(held)
        except (TypeError, ValueError, AttributeError) as error:  # the right classes around the wrong things
            raise ReproError(f"{path} does not have the layout of the released network: {error}") from error
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ReproError(f"{path} holds neither the released recurrent network nor its state dict")
    return state, genotype


def load_model(path: str | Path, types: int, genotype: RecurrentGenotype | None = None) -> LanguageModel:
    """Return the released network of a file for evaluation on a text of `types` words.

    `genotype` is needed where the file is a state dict. ReproError if the vocabulary is not the text's.
    """
    state, held = read_model(path)
    genotype = held or genotype
    if genotype is None:
        raise ReproError(f"{path} is a state dict and says nothing of its cell: name the genotype, say DARTS_V2_RNN")
    ours = from_released(state)
    known, size = ours["embedding"].shape
    if known != types:
        raise ReproError(
            f"{path} knows {known:,} words, the text has {types:,}: evaluate it on the text it was made for"
        )
    if len(genotype.recurrent) != len(ours["maps"]):
        raise ReproError(f"{path} has {len(ours['maps'])} nodes, the genotype has {len(genotype.recurrent)}")
    network = LanguageModel(types, size, genotype)
    network.load_state_dict(ours)
    return network.eval()


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released state dict under the names of `LanguageModel`; ReproError names what is missing."""
    names = {"embedding": "encoder.weight", "bias": "decoder.bias", "first": "rnns.0._W0"}
    maps = [f"rnns.0._Ws.{i}" for i in range(max(1, sum(name.startswith("rnns.0._Ws.") for name in state)))]
    if missing := [name for name in (*names.values(), *maps) if name not in state]:
        raise ReproError(f"not a recurrent network of the release: it has no {', '.join(missing)}")
    found = {ours: state[theirs] for ours, theirs in names.items()}
    moments = {f"norm.{name}": state.get(f"rnns.0.bn.{name}") for name in ("running_mean", "running_var")}
    found |= {name: value for name, value in moments.items() if value is not None}
    return {**found, "maps": torch.stack([state[name] for name in maps])}


def _read(path: Path) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(Inert, name) for name in RELEASED]):
            warnings.simplefilter("ignore")  # that the source of a class is another one
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ReproError(f"{path} does not exist") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if "GLOBAL" in line or "global" in line), (lines or ["damaged"])[0])
        raise ReproError(f"{path} is refused: {reason[:200]}") from error


def _tensors(module: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers of an inert module and its children, by their names in a state dict."""
    state = getattr(module, "state", None)
    if not isinstance(state, Mapping) or prefix.count(".") > DEPTH:
        return
    for kind in ("_parameters", "_buffers"):
        for name, value in (state.get(kind) or {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value.detach()
    for name, child in (state.get("_modules") or {}).items():
        yield from _tensors(child, f"{prefix}{name}.")


def _genotype(model: Any) -> RecurrentGenotype | None:
    """Return the genotype of the cell at rnns.0, if it has one."""
    module = model
    for name in ("rnns", "0"):
        module = (module.state.get("_modules") or {}).get(name)
        if not isinstance(module, Inert):
            return None
    genotype = module.state.get("genotype")
    if not isinstance(genotype, Inert) or len(genotype.arguments) != 2:
        return None
    recurrent, concat = genotype.arguments
    concat = range(*concat.arguments) if isinstance(concat, Inert) else concat
    return RecurrentGenotype(tuple(recurrent), tuple(concat[:MOST]))
