"""The authors' recurrent checkpoints: a pickled module, read as data, or a state dict (DARTS, Penn Treebank).

A pickle is a program that calls what it names. Here it can name no more than the released classes and PyTorch's makers
of tensors, and all of these are `Inert`: they keep what they are given and do nothing. What is left is turned into
tensors. (PyTorch's own safe reader reads no modules in the format of the release's time.)
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro.darts.rnn.language_model import LanguageModel
from repro.errors import ReproError, line, unreadable
from repro.files import plain
from repro.spaces.genotypes import RecurrentGenotype
from repro.training.checkpoints import ALONE, refuse_bomb

INERT = (
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
    "torch.nn.parameter.Parameter",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "__builtin__.xrange",
    "__builtin__.set",
    "builtins.range",
    "builtins.set",
)
TYPES = {"Half": "<f2", "Float": "<f4", "Double": "<f8", "Long": "<i8", "Int": "<i4", "Byte": "u1", "Bool": "?"}
MAGIC = 0x1950A86A20F9469CFC6C  # opens a file of PyTorch before 1.6
MOST = 100  # states of a cell


class Inert:
    """Stands for a class or a function: it holds its arguments and its state."""

    def __new__(cls, *arguments: Any) -> "Inert":
        """Keep the arguments."""
        held = super().__new__(cls)
        held.arguments, held.state = arguments, {}
        return held

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Foreign(Exception):
    """A file holds something else than a released network; says what."""


class Storage(NamedTuple):
    """The memory that a tensor looks at: NumPy's name of its type, and its key in the file."""

    type: str
    key: str


class TensorUnpickler(pickle.Unpickler):
    """Reads a pickle as data; Foreign if it names anything but INERT and the types of storages."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global name."""
        kind = name.removesuffix("Storage")
        if module in ("torch", "torch.cuda") and kind != name and kind in TYPES:
            return TYPES[kind]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if f"{module}.{name}" in INERT:
            return Inert
        raise Foreign(f"it names {module}.{name}, which is no part of the released network")

    def persistent_load(self, pid: Any) -> Any:
        """Return a class that was saved with its source, or a storage."""
        if pid[0] == "module":
            return pid[1]
        if pid[0] == "storage" and (len(pid) < 6 or pid[5] is None):  # else it is a part of another storage
            return self.storages.setdefault(str(pid[2]), Storage(pid[1], str(pid[2])))
        raise Foreign(f"it refers to {str(pid)[:60]}: expected a class or a whole storage")


def read_model(path: str | Path) -> tuple[dict[str, Tensor], RecurrentGenotype | None]:
    """Return the state dict, under its released names, and the genotype that a released file holds.

    The file is the whole module, as the authors saved it, or a state dict, alone or under "state_dict", which has no
    genotype. ReproError says why a file is refused.
    """
    try:
        with open(path, "rb", opener=plain) as file:
            held, memory = _read_zip(file) if zipfile.is_zipfile(file) else _read_stream(file)
        if isinstance(held, Mapping):
            held = held.get("state_dict", held)
            return {name: _tensor(value, memory) for name, value in held.items()}, None
        if not isinstance(held, Inert):
            raise Foreign(f"it holds {type(held).__name__} where a network is expected")
        return {name: _tensor(value, memory) for name, value in _named(held)}, _genotype(held)
    except FileNotFoundError as error:
        raise ReproError(f"{path} does not exist") from error
    except Exception as error:  # of many kinds: what is foreign or damaged can look like anything
        what = line(error) if isinstance(error, Foreign) else unreadable(error, "recurrent network of PyTorch")
        raise ReproError(
            f"{path} is refused: {what}; accepted are the authors' model and a state dict; {ALONE}"
        ) from error


def load_model(path: str | Path, vocabulary_size: int, genotype: RecurrentGenotype | None = None) -> LanguageModel:
    """Return the released network of a file for evaluation on a text of `vocabulary_size` words.

    `genotype` is needed where the file is a state dict. ReproError if the vocabulary is not the text's.
    """
    state, held = read_model(path)
    genotype = held or genotype
    if genotype is None:
        raise ReproError(f"{path} is a state dict and says nothing of its cell: name the genotype, say DARTS_V2_RNN")
    ours = from_released(state)
    known, size = ours["embedding"].shape
    if known != vocabulary_size:
        raise ReproError(
            f"{path} knows {known:,} words, the text has {vocabulary_size:,}: evaluate it on the text it was made for"
        )
    if len(genotype.recurrent) != len(ours["maps"]):
        raise ReproError(f"{path} has {len(ours['maps'])} nodes, the genotype has {len(genotype.recurrent)}")
    network = LanguageModel(vocabulary_size, size, genotype)
    network.load_state_dict(ours)
    return network.eval()


def from_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released state dict under the names of `LanguageModel`, which it may have already.

    ReproError names what is missing.
    """
    if {"embedding", "bias", "first", "maps"} <= state.keys():
        return dict(state)
    names = {"embedding": "encoder.weight", "bias": "decoder.bias", "first": "rnns.0._W0"}
    maps = [f"rnns.0._Ws.{i}" for i in range(max(1, sum(name.startswith("rnns.0._Ws.") for name in state)))]
    if missing := [name for name in (*names.values(), *maps) if name not in state]:
        raise ReproError(f"not a recurrent network of the release: it has no {', '.join(missing)}")
    found = {ours: state[theirs] for ours, theirs in names.items()}
    moments = {f"norm.{name}": state.get(f"rnns.0.bn.{name}") for name in ("running_mean", "running_var")}
    found |= {name: value for name, value in moments.items() if value is not None}
    return {**found, "maps": torch.stack([state[name] for name in maps])}


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    """Read the format of PyTorch since 1.6: an archive of a pickle and a file for each storage."""
    with zipfile.ZipFile(file) as archive:
        refuse_bomb(file, archive)
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        reader = TensorUnpickler(io.BytesIO(archive.read(names["data.pkl"])))
        held = reader.load()
        contents = {key: archive.read(names[f"data/{key}"]) for key in reader.storages}
    return held, {key: np.frombuffer(contents[key], storage.type) for key, storage in reader.storages.items()}


def _read_stream(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    """Read the format before: magic number, version, machine, object and keys as pickles, then the storages."""
    file.seek(0)
    magic, *_ = (TensorUnpickler(file).load() for _ in range(3))
    if magic != MAGIC:
        raise Foreign("it is no file of PyTorch")
    reader = TensorUnpickler(file)
    held, memory = reader.load(), {}
    for key in TensorUnpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        type = np.dtype(reader.storages[key].type)
        memory[key] = np.frombuffer(file.read(count * type.itemsize), type, count)
    return held, memory


def _named(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the parameters and buffers of an inert module and its children, by their names in a state dict."""
    for kind in ("_parameters", "_buffers"):
        for name, value in module.state.get(kind, {}).items():
            if value is not None:
                yield f"{prefix}{name}", value
    for name, child in module.state.get("_modules", {}).items():
        yield from _named(child, f"{prefix}{name}.")


def _tensor(value: Any, memory: Mapping[str, np.ndarray]) -> Tensor:
    """Return what an inert tensor, or a parameter around one, looks at."""
    if not isinstance(value, Inert):
        raise Foreign(f"it holds {type(value).__name__} where a tensor is expected")
    first, *rest = value.arguments
    if isinstance(first, Inert):
        return _tensor(first, memory)
    offset, size, stride = rest[:3]
    return torch.from_numpy(memory[first.key].copy()).as_strided(size, stride, offset)


def _genotype(model: Any) -> RecurrentGenotype | None:
    """Return the genotype of the cell at rnns.0; none in the search network."""
    genotype = model.state["_modules"]["rnns"].state["_modules"]["0"].state.get("genotype")
    if genotype is None:
        return None
    recurrent, concat = genotype.arguments
    concat = range(*concat.arguments) if isinstance(concat, Inert) else concat
    return RecurrentGenotype(tuple(recurrent), tuple(concat[:MOST]))
