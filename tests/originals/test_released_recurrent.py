"""The authors' checkpoint: its layout, built here, is read as data; anything else in a file is refused in one line."""

import collections
import os
import sys
import types

import pytest
import torch

from repro.darts.rnn.language_model import LanguageModel
from repro.errors import ReproError
from repro.originals.rnn import load_model, read_model
from repro.spaces.genotypes import PUBLISHED

CELL = PUBLISHED["DARTS_V2_RNN"]
V, H = 9, 4


class Tensor031:
    """A tensor as PyTorch 0.3 wrote it."""

    def __init__(self, value):
        self.value = value.detach()

    def __reduce_ex__(self, protocol):
        storage = torch.storage.TypedStorage(
            wrap_storage=self.value.untyped_storage(), dtype=self.value.dtype, _internal=True
        )
        return torch._utils._rebuild_tensor, (storage, 0, tuple(self.value.shape), self.value.stride())


class Backend031:
    """What every module of PyTorch 0.3 held."""

    def __reduce__(self):
        from torch.nn.backends.thnn import _get_thnn_function_backend

        return _get_thnn_function_backend, ()


class Parameter031(Tensor031):
    """A parameter as PyTorch 0.3 wrote it: requires_grad, volatile, hooks."""

    def __reduce_ex__(self, protocol):
        return torch.nn.Parameter, (Tensor031(self.value),), (True, False, collections.OrderedDict())


@pytest.fixture
def released(monkeypatch):
    """Modules and classes of the release by name; `make(path, "Class", **state)` makes an object of one of them."""

    def make(path, name, **state):
        parts = path.split(".")
        for i in range(1, len(parts) + 1):
            if (module := ".".join(parts[:i])) not in sys.modules:
                monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        module = sys.modules[path]
        if not hasattr(module, name):
            monkeypatch.setattr(module, name, type(name, (), {"__module__": path}), raising=False)
        held = object.__new__(getattr(module, name))
        vars(held).update(state)
        return held

    return make


def build(make, network, monkeypatch, old=True):
    """The pickled module of the release with the weights of `network`."""
    wrap = Parameter031 if old else torch.nn.Parameter
    parameters = {
        name: wrap(value.detach().clone()) for name, value in vars(network)["_parameters"].items() if value is not None
    }
    module = types.ModuleType("genotypes")
    genotype = collections.namedtuple("Genotype", "recurrent concat", module="genotypes")
    monkeypatch.setattr(module, "Genotype", genotype, raising=False)
    monkeypatch.setitem(sys.modules, "genotypes", module)
    recurrent = [tuple(edge) for edge in network_cell(network)]
    weights = [wrap(weight.detach().clone()) for weight in network.maps]

    def with_(modules=(), own=()):
        empty = collections.OrderedDict
        parts = {"_parameters": empty(own), "_buffers": empty(), "_modules": empty(modules)}
        return {**parts, "_backend": Backend031(), "training": True}

    lists = "torch.nn.modules.container"
    maps = make(lists, "ParameterList", **with_(own=[(str(i), weight) for i, weight in enumerate(weights)]))
    cell = make("model", "DARTSCell", **with_([("_Ws", maps)], [("_W0", parameters["first"])]))
    vars(cell)["genotype"] = genotype(recurrent, range(1, 1 + len(recurrent)))
    rnns = make(lists, "ModuleList", **with_([("0", cell)]))
    embedding = make("torch.nn.modules.sparse", "Embedding", **with_(own=[("weight", parameters["embedding"])]))
    shared = [("weight", parameters["embedding"]), ("bias", parameters["bias"])]
    decoder = make("torch.nn.modules.linear", "Linear", **with_(own=shared))
    drop = make("locked_dropout", "LockedDropout", **with_())
    return make(
        "model", "RNNModel", **with_([("lockdrop", drop), ("encoder", embedding), ("rnns", rnns), ("decoder", decoder)])
    )


def network_cell(network):
    return [(name, reads.start) for name, reads in zip(network.wiring.activations, network.wiring.sources, strict=True)]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_pickled_module_evaluates_like_the_network_it_came_from(tmp_path, released, monkeypatch, old, zipped):
    network = LanguageModel(V, H, CELL).eval()
    model = build(released, network, monkeypatch, old)
    torch.save(model, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    monkeypatch.undo()
    state, genotype = read_model(tmp_path / "model.pt")
    assert genotype == CELL
    assert set(state) == {"encoder.weight", "decoder.weight", "decoder.bias", "rnns.0._W0"} | {
        f"rnns.0._Ws.{i}" for i in range(8)
    }
    tokens = torch.arange(V)[:, None]
    found = load_model(tmp_path / "model.pt", V).log_prob(tokens, network.initial(1))
    assert torch.equal(found, network.log_prob(tokens, network.initial(1)))


def state_dict(network):
    names = {"encoder.weight": network.embedding, "decoder.bias": network.bias, "rnns.0._W0": network.first}
    return {**names, **{f"rnns.0._Ws.{i}": weight for i, weight in enumerate(network.maps)}}


def save(path, value):
    torch.save(value, path / "file.pt")
    return path / "file.pt"


def test_state_dict_needs_the_name_of_its_cell(tmp_path):
    network = LanguageModel(V, H, CELL).eval()
    path = save(tmp_path, {name: value.detach() for name, value in state_dict(network).items()})
    with pytest.raises(ReproError, match="name the genotype"):
        load_model(path, V)
    assert torch.equal(load_model(path, V, CELL).maps, network.maps)
    with pytest.raises(ReproError, match="has 8 nodes, the genotype has 11"):
        load_model(path, V, PUBLISHED["ENAS_RNN"])
    with pytest.raises(ReproError, match="knows 9 words, the text has 10"):
        load_model(path, 10, CELL)


class Malicious:
    def __reduce__(self):
        return os.system, ("touch harm",)


class Evil:
    def __reduce__(self):
        return eval, ("open('harm', 'w')",)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("make", [Malicious, Evil])
def test_a_file_that_would_run_something_is_refused(tmp_path, monkeypatch, make, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder.weight": torch.zeros(1), "hidden": make()}, "file.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ReproError, match=r"file\.pt is refused: it names .*(posix\.system|eval), which is no part"
    ) as caught:
        read_model("file.pt")
    assert "\n" not in str(caught.value)
    assert not os.path.exists("harm")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"encoder.weight": torch.zeros(2, 2)}, "not a recurrent network of the release: it has no decoder.bias"),
        ({"epoch": 3}, "refused: it holds int where a tensor is expected"),
        ([1, 2], "refused: it holds list where a network is expected; accepted are"),
        ({}, "not a recurrent network of the release"),
    ],
)
def test_other_contents_are_refused(tmp_path, value, message):
    with pytest.raises(ReproError, match=message):
        load_model(save(tmp_path, value), V, CELL)


def test_damaged_and_missing_files_are_refused(tmp_path):
    path = save(tmp_path, {"encoder.weight": torch.zeros(100, 100)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ReproError, match=r"file\.pt is refused"):
        read_model(path)
    path.write_bytes(b"hello")
    with pytest.raises(ReproError, match=r"file\.pt is refused"):
        read_model(path)
    with pytest.raises(ReproError, match="does not exist"):
        read_model(tmp_path / "none.pt")


def test_right_classes_around_wrong_things_are_refused(tmp_path, released, monkeypatch):
    for number, state in enumerate([{}, {"_parameters": 3}, {"_modules": {"rnns": 5}, "_parameters": {}}]):
        model = released("model", "RNNModel", **state)
        path = tmp_path / f"{number}.pt"
        torch.save(model, path)
        with pytest.raises(ReproError, match="is refused"):
            read_model(path)
