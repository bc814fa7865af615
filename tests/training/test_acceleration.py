"""What makes steps fast must not change them: precision, graphs and recomputation against the plain step."""

import copy
import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion

from repro.configs.common import Accelerated
from repro.darts.bilevel import finite_difference
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.cnn.search import ImageSearch, SimultaneousSearch
from repro.darts.cnn.search_network import SearchNetwork
from repro.errors import ReproError
from repro.runs import provenance
from repro.runs.run import Run
from repro.spaces.genotypes import PUBLISHED
from repro.training import acceleration, cuda_graph, devices
from repro.training.classifier import ImageTraining
from repro.training.cuda_graph import Captured
from repro.training.setup import Setup

CPU = torch.device("cpu")


def search(order=2, device=CPU, dtype=torch.float32, **options):
    torch.manual_seed(0)
    network = SearchNetwork(4, 10, 3, 2, in_channels=1, **options).to(device, dtype)
    weights = torch.optim.SGD(network.weights(), 0.1, 0.9, weight_decay=3e-4)
    alphas = torch.optim.Adam(network.alphas, 3e-3, (0.5, 0.999), capturable=device.type == "cuda")
    return ImageSearch(network, weights, alphas, order)


def batches(count, size=8, device=CPU, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 2, size, 1, 8, 8, generator=generator)
    labels = torch.randint(10, (count, 2, size), generator=generator)
    pairs = zip(images.to(device, dtype), labels.to(device), strict=True)
    return [((x[0], y[0]), (x[1], y[1])) for x, y in pairs]


def state(searcher):
    return copy.deepcopy((searcher.network.state_dict(), searcher.weight_optimizer.state_dict()))


def same(a, b):
    return all(torch.equal(a[0][name], b[0][name]) for name in a[0])


# ---- precision


def test_precision_falls_back_with_one_line(capfd):
    assert [acceleration.precision(asked, CPU) for asked in ("auto", "float32")] == ["float32"] * 2
    assert not capfd.readouterr().err
    assert [acceleration.precision(asked, CPU) for asked in ("bf16", "tf32")] == ["float32"] * 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "precision=bf16: steps compute in float32, because this is no GPU that has bfloat16"
    assert len(lines) == 2


def test_float32_is_not_tf32():
    """And what torch.compile asks of these settings does not raise."""
    torch.backends.cuda.matmul.allow_tf32 = True
    acceleration.precision("float32", CPU)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    assert "tf32" not in (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)


def differences(here, there, pairs):
    """The relative differences of two searches' losses, `there` starting each step from the state of `here`.

    Each on its own would go astray: the losses of one formulation in float32 and in float64 differ by less than 1e-6 in
    the first step and by more than 1e-4 from about the sixth on.
    """
    device, found = next(there.network.parameters()).device, []
    for pair in pairs:
        there.network.load_state_dict(here.network.state_dict())
        for name in ("weight_optimizer", "alpha_optimizer"):
            getattr(there, name).load_state_dict(copy.deepcopy(getattr(here, name).state_dict()))
        loss = there.step(*(tuple(tensor.to(device) for tensor in part) for part in pair))[0].item()
        found.append(abs(loss / here.step(*pair)[0].item() - 1))
    return found


def test_the_finite_difference_alone_is_never_taken_in_tf32():
    """If that is asked for, the virtual step and the gradient over w' are, as w's step; forwards and backwards."""
    searcher, (pair,), passes = search(2), batches(1), []

    def look(module, given, logits):
        note()
        logits.register_hook(note)

    note = lambda *_: passes.append(torch.backends.cudnn.allow_tf32)
    searcher.network.register_forward_hook(look)
    devices.allow_tf32(True)
    searcher.step(*pair)
    searcher.order = 1
    searcher.step(*pair)
    devices.pick("cpu")
    assert passes == [True] * 2 * 2 + [False] * 2 * 2 + [True] * 2 * 3
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("order", [1, 2])
def test_formulations_of_a_cpu_and_of_a_gpu_agree_in_float32(order):
    def step(*pair):
        with mock.patch("repro.darts.cnn.search_network.folds_on", return_value=False):
            return ImageSearch.step(batched, *pair)

    folded, batched = search(order), search(order)
    batched.step = step
    assert max(differences(folded, batched, batches(20, 32))) < 1e-4


@pytest.mark.parametrize(("order", "likeness"), [(1, 0.98), (2, 0.8), ("exact", 0.9)])
def test_architecture_gradient_in_bfloat16_points_where_that_of_float32_does(order, likeness):
    """On the GPU's formulation; autocast on the CPU rounds alike. Other batches' gradients are alike by 0 to 0.4."""
    with mock.patch("repro.darts.cnn.search_network.folds_on", return_value=False):
        searcher, (pair,) = search(order), batches(1, size=32)
        precise = torch.cat([part.flatten() for part in searcher.gradient(*pair)])
        searcher.bf16 = True
        rounded = torch.cat([part.flatten() for part in searcher.gradient(*pair)])
        assert not torch.equal(rounded, precise)
        assert torch.cosine_similarity(rounded, precise, dim=0) > likeness


def test_bfloat16_rounds_the_finite_difference_away():
    """Why Eq. 8 is not taken in bfloat16: its step is smaller than the distance of two weights there."""
    with mock.patch("repro.darts.cnn.search_network.folds_on", return_value=False):
        searcher, ((train, valid),) = search(), batches(1, size=32)
        loss = searcher.loss(valid)
        vector = torch.autograd.grad(loss(searcher.weights, searcher.alphas), searcher.weights)
        difference = lambda loss: torch.cat(
            [part.flatten() for part in finite_difference(loss, searcher.weights, searcher.alphas, vector, 0.01)]
        )
        precise = difference(searcher.loss(train))
        searcher.bf16 = True
        rounded = difference(searcher.loss(train))
        assert torch.cosine_similarity(rounded, precise, dim=0) < 0.9


# ---- capture


@pytest.mark.parametrize("order", [1, 2])
def test_no_search_step_asks_for_a_value(order):
    """A graph can hold no step that does; `meta` tensors have no values, so that asking for one raises."""
    searcher = search(order, device=torch.device("meta"))
    for pair in batches(2, device=torch.device("meta")):
        assert searcher.step(*pair)[1].shape == (8, 10)


def test_no_evaluation_step_asks_for_a_value():
    network = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=4, cells=3, in_channels=1).to("meta")
    network.drops_paths = True
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=3e-4)
    training = ImageTraining(network, optimizer, grad_clip=5.0, auxiliary_weight=0.4)
    for images, labels in (pair[0] for pair in batches(2, device=torch.device("meta"))):
        assert training.step(images, labels)[1].shape == (8, 10)


def record_again(step, batches):
    """Stand in for a graph: the step is taken again, on the same tensors, at every replay."""
    results = torch.zeros(()), torch.zeros(8, 10)

    def replay():
        for place, value in zip(results, step(*batches), strict=True):
            place.copy_(value)

    return replay, results


def captured(searcher, record):
    return Captured(searcher.step, searcher.network, searcher.optimizers, record)


def run(searcher, step, pairs):
    """Take a step on each pair, the learning rate falling after every fourth; return the losses."""
    losses = []
    for index, pair in enumerate(pairs):
        if index % 4 == 3:
            searcher.weight_optimizer.param_groups[0]["lr"] *= 0.5
        losses.append(step(*pair)[0].item())
    return losses


def test_replayed_steps_equal_plain_ones():
    pairs = [*batches(9), *batches(1, size=5), *batches(3, seed=2)]
    plain, fast, recorded = search(1), search(1), []
    record = lambda step, given: recorded.append(given) or record_again(step, given)
    assert run(plain, plain.step, pairs) == run(fast, captured(fast, record), pairs)
    assert same(state(plain), state(fast))
    assert len(recorded) == 3  # after the warm-up, and whenever the rate changed


def test_a_replayed_step_may_move_w_and_alpha_by_one_optimizer():
    pairs, sides = batches(9), []
    for _ in range(2):
        network = search(1).network
        optimizer = torch.optim.SGD([*network.weights(), *network.alphas], 0.1, 0.9, weight_decay=3e-4)
        sides.append(SimultaneousSearch(network, optimizer, optimizer))
    plain, fast = sides
    step = captured(fast, record_again)
    assert run(plain, plain.step, pairs) == run(fast, step, pairs)
    assert same(state(plain), state(fast))
    assert step.graphs


@pytest.mark.parametrize("fault", ["raises", "astray"])
def test_what_cannot_be_recorded_is_taken_plainly_with_one_line(fault, capfd):
    def record(step, given):
        if fault == "raises":
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return lambda: step(given[1], given[1]), (torch.zeros(()), torch.zeros(8, 10))

    pairs, plain, fast = batches(6), search(1), search(1)
    step = captured(fast, record)
    assert run(plain, plain.step, pairs) == run(fast, step, pairs)
    assert same(state(plain), state(fast))
    assert step.refused
    (line,) = capfd.readouterr().err.splitlines()
    reasons = ("operation not permitted when stream is capturing", "the recorded step went astray by")
    assert line.startswith(f"capture=auto: steps are launched one by one, because {reasons[fault == 'astray']}")


@pytest.mark.parametrize("version", ["2.13.1+cu130", "2.14.0"])
def test_before_pytorch_2_14_a_failed_recording_ends_the_run_with_one_line(version, monkeypatch):
    def record(step, given):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    pairs, plain, fast = batches(5), search(1), search(1)
    if version >= "2.14":
        assert run(plain, plain.step, pairs) == run(fast, captured(fast, record), pairs)
        return
    with pytest.raises(ReproError, match=rf"not permitted .* PyTorch {re.escape(version)} .* capture=off") as caught:
        run(fast, captured(fast, record), pairs)
    assert "\n" not in str(caught.value)


def test_a_step_that_moves_nothing_is_recorded_once_and_follows_the_weights():
    searcher, recorded = search(1), []
    record = lambda step, given: recorded.append(given) or record_again(step, given)
    judge = Captured(searcher.judge, searcher.network, [], record)
    for pair in batches(7):
        searcher.step(*pair)
        expected = searcher.judge(*pair[0])
        assert all(torch.equal(*values) for values in zip(judge(*pair[0]), expected, strict=True))
    assert len(recorded) == 1


def test_a_switch_of_the_network_is_recorded_anew():
    searcher, recorded = search(1), []
    step = captured(searcher, lambda step, given: recorded.append(given) or record_again(step, given))
    for index, pair in enumerate(batches(11)):
        if index == 6:
            searcher.network.recomputes = True
        step(*pair)
    assert len(recorded) == 2


@pytest.mark.parametrize("faulty", [False, True])
def test_a_recording_is_compared_again_once_drop_path_sets_in(faulty, capfd):
    """Where it is faulty, the second graph holds the rate of the first."""

    def train(captures):
        torch.manual_seed(0)
        network, recorded = EvaluationNetwork(PUBLISHED["DARTS_V2"], channels=4, cells=3, in_channels=1), []
        optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
        training = ImageTraining(network, optimizer, grad_clip=5.0, auxiliary_weight=0.4)

        def old_rate(*given):
            network.drop_path_rate.fill_(0.0)
            taken = training.step(*given)
            network.drop_path_rate.fill_(0.5)
            return taken

        def record(step, given):
            recorded.append(given)
            return record_again(old_rate if faulty and len(recorded) == 2 else step, given)

        step, losses = Captured(training.step, network, [optimizer], record) if captures else training.step, []
        for index, pair in enumerate(batches(10)):
            if index == 4:
                network.set_drop_path_rate(0.5)
            losses.append(step(*pair[0])[0].item())
        return losses, len(recorded)

    assert train(True) == (train(False)[0], 2)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == faulty
    assert all("the recorded step went astray by" in line for line in said)


class Line:
    """A linear network, its optimizer with momentum, and a step whose rate follows the number of rows."""

    def __init__(self, record=None):
        torch.manual_seed(0)
        self.network, self.recorded = nn.Linear(2, 1), []
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.1, 0.9)
        self.take = Captured(self.step, self.network, [self.optimizer], record or self.record)

    def step(self, x):
        self.optimizer.zero_grad()
        loss = self.network(x).square().mean()
        loss.backward()
        self.optimizer.step()
        return (loss.detach(),)

    def record(self, step, given):
        self.recorded.append(len(given[0]))
        results = (torch.zeros(()),)
        return (lambda: results[0].copy_(step(*given)[0])), results

    def run(self, take, lengths, rate=0.01):
        for length in lengths:
            self.optimizer.param_groups[0]["lr"] = rate * length
            take(torch.arange(2.0 * length).view(length, 2) / 10)
        return torch.cat([value.flatten() for value in self.network.state_dict().values()])


def test_every_recording_is_compared(capfd):
    """The second one, at another rate, moves nothing."""
    plain, fast = Line(), Line()
    for rate in (0.01, 0.02):
        assert torch.equal(plain.run(plain.step, [3] * 6, rate), fast.run(fast.take, [3] * 6, rate))
        fast.take.record = lambda step, given: (lambda: None, (torch.zeros(()),))
    assert (fast.recorded, fast.take.refused, fast.take.graphs) == ([3], True, {})
    assert "the recorded step went astray by" in capfd.readouterr().err


def test_each_shape_has_a_graph_of_its_own_until_a_state_is_loaded():
    """As windows of text have: each length comes again, always at the rate that goes with it."""
    plain, fast = Line(), Line()
    assert torch.equal(plain.run(plain.step, [5, 3] * 6), fast.run(fast.take, [5, 3] * 6))
    assert fast.recorded == [3, 5]
    fast.optimizer.load_state_dict(copy.deepcopy(plain.optimizer.state_dict()))
    assert not fast.take.graphs
    assert torch.equal(plain.run(plain.step, [5, 3] * 3), fast.run(fast.take, [5, 3] * 3))
    assert fast.recorded == [3, 5, 3, 5]


def test_there_is_an_end_to_graphs(monkeypatch):
    monkeypatch.setattr(cuda_graph, "MOST", 1)
    plain, fast = Line(), Line()
    assert torch.equal(plain.run(plain.step, [5, 3] * 6), fast.run(fast.take, [5, 3] * 6))
    assert fast.recorded == [3]


def test_graphs_share_a_pool_which_goes_with_the_last_one(monkeypatch):
    """PyTorch refuses one whose graphs are all gone."""
    asked, pools = [], iter("abc")

    class Graph:
        def pool(self):
            return asked[-1] or next(pools)

        replay = None

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, pool, stream: asked.append(pool) or nullcontext())
    step = Captured(lambda: None, nn.Linear(1, 1), [], lambda *_: None)
    for graphs in ({}, {1: 1}, {1: 1, 2: 2}, {}):
        step.graphs = graphs
        step._graph(lambda: None, ())
    assert asked == [None, "a", "a", None]


def test_a_cpu_needs_no_graph():
    searcher = search()
    assert cuda_graph.captured("auto", searcher.step, searcher.network, []) == searcher.step


# ---- a recipe's setup


@dataclass(frozen=True)
class Compiled(Accelerated):
    """Parameters of a recipe that may compile, and never captures."""

    compile: str = "auto"


@pytest.mark.parametrize(
    ("asked", "precision"), [("auto", "bf16"), ("auto", "float32"), ("auto", "tf32"), ("off", "bf16")]
)
def test_channels_are_last_on_a_gpu_only_with_bfloat16(asked, precision, tmp_path, monkeypatch):
    """A library may be many times as slow with depthwise convolutions of float32 so."""
    monkeypatch.setattr(acceleration, "precision", lambda *_: precision)
    network, params = nn.Conv2d(2, 2, 3), Accelerated(channels_last=asked)
    setup = Setup(params, Run(tmp_path, "test", "smoke", params), network)
    setup.device = torch.device("cuda")
    images = setup.laid_out(lambda x: x)(torch.zeros(2, 2, 5, 5))
    last = [x.is_contiguous(memory_format=torch.channels_last) for x in (images, network.weight)]
    assert last == [(asked, precision) == ("auto", "bf16")] * 2


@pytest.mark.parametrize(("kind", "compiles"), [(Accelerated, False), (Compiled, True)])
def test_a_network_is_set_up_as_the_parameters_ask(kind, compiles, tmp_path, capfd):
    """What they lack is not asked for, and so neither refused nor spoken of."""
    searcher, params = search(), kind(precision="bf16")
    provenance.begin(tmp_path)
    setup = Setup(params, Run(tmp_path, "test", "smoke", params), searcher.network, differentiable_twice=True)
    prepare = lambda images: images
    assert (setup.device, setup.bf16, setup.laid_out(prepare)) == (CPU, False, prepare)
    assert setup.captured(searcher.step, *searcher.optimizers) == searcher.step
    assert provenance.read(tmp_path)["precision"] == "float32"
    said = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["precision=bf16", *["compile=auto"] * compiles]


def test_recipes_set_networks_up_in_one_place():
    own = {"acceleration", "cuda_graph"}
    for path in (Path(acceleration.__file__).parents[1] / "experiments").glob("*.py"):
        imported = re.findall(r"^from repro\.training(?:\.(\w+))? import (.+)$", path.read_text(), re.MULTILINE)
        assert not own & {name for module, names in imported for name in (module, *names.split(", "))}, path


# ---- recomputation


@pytest.mark.parametrize("order", [2, "exact"])
@pytest.mark.parametrize("folds", [True, False])
def test_recomputed_cells_give_the_same_numbers(folds, order):
    with mock.patch("repro.darts.cnn.search_network.folds_on", return_value=folds):
        plain, spared = search(order, dtype=torch.float64), search(order, dtype=torch.float64, recomputes=True)
        pairs = batches(2, dtype=torch.float64)
        assert run(plain, plain.step, pairs) == run(spared, spared.step, pairs)
        assert same(state(plain), state(spared))
