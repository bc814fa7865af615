"""Every parameter that tells runs apart has an effect: another value changes metrics or result of the smallest run.

Where it cannot, a table says why. What only repeats a parameter, as `epochs` in a result does, is no effect.
"""

import dataclasses
import functools
import shutil
from unittest import mock

import pytest
import torch
from effects import BESIDE, OF_EXPERIMENT, OTHER, PARAMETERS, REFUSED, SIZES, WITHOUT
from golden import MEASURED, cut, differences, float64, prepared
from tiny import make_data, small_data

from repro.configs.registry import find
from repro.configs.spos_networks import SposSupernet
from repro.configs.spos_retrain import SposRetrain
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.rnn.language_model import LanguageModel
from repro.data.folders import pictures
from repro.data.text import load_corpus
from repro.errors import ReproError
from repro.execution import notebooks
from repro.experiments import spos_networks
from repro.originals.cnn import places, released_view
from repro.runs.run import Run, open_run
from repro.spaces.genotypes import PUBLISHED

NEARLY = 1e-9  # what rounding in float64 stays far below
PAIRS = [(name, parameter) for name, parameters in PARAMETERS.items() for parameter in parameters]


class Differs(Exception):
    """A run has other numbers than another one."""


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """A folder of small data and of weights; runs lie beside it."""
    folder = tmp_path_factory.mktemp("effects")
    with small_data(), cut(SIZES, folder), float64():
        make_data(folder / "data")
        make_pictures(folder / "data")
        make_weights(folder / "data")
        yield folder / "data"


def make_pictures(folder):
    """Two training pictures and one for validation of each class, others of them, and with a damaged one."""
    for name, kept in {"small": ("00", "01", "03"), "other": ("04", "05", "07")}.items():
        for path in pictures(folder / name).glob("*/*/*.jpg"):
            if path.stem not in kept:
                path.unlink()
    shutil.copytree(folder / "small", folder / "damaged")
    next((folder / "damaged" / "train").glob("*/*.jpg")).write_bytes(b"nothing")


def make_weights(folder):
    """Checkpoints under the names of the authors' releases."""
    torch.manual_seed(0)
    for name, file in {"cifar10-eval": "digits", "imagenet-eval": "cell"}.items():
        sizes = {"cells": 1, "channels": SIZES[name]["channels"]}
        sizes |= {"in_channels": 1} if file == "digits" else {"kind": "imagenet", "classes": 8}
        network = EvaluationNetwork(PUBLISHED["DARTS_V2"], **sizes)
        state = network.state_dict()
        torch.save(
            {name: released_view(state, place) for name, place in places(network).items()}, folder / f"{file}.pt"
        )
    supernet = SposSupernet(dataset="digits", width=SIZES["spos-supernet"]["width"])
    alone = SposRetrain(dataset="digits", width=supernet.width)
    torch.save(spos_networks.build(supernet).state_dict(), folder / "supernet.pt")
    torch.save(spos_networks.build(alone, (0, 0, 0, 0)).state_dict(), folder / "network.pt")
    model = LanguageModel(load_corpus("english").vocabulary_size, 4, PUBLISHED["DARTS_V2_RNN"])
    named = {"encoder.weight": model.embedding, "decoder.bias": model.bias, "rnns.0._W0": model.first}
    named |= {f"rnns.0._Ws.{index}": weight for index, weight in enumerate(model.maps)}
    torch.save({name: weight.detach() for name, weight in named.items()}, folder / "text.pt")


def outcome(name, changes, expected=None):
    """Return the rows of metrics of a run, then its result; raise `Differs` at the first that is not the expected."""
    shutil.rmtree(prepared(name, changes).path)
    run, found, log = open_run(find(name), "smoke", changes), [], Run.log
    told = {*MEASURED, *(field.name for field in dataclasses.fields(run.params))}

    def note(row):
        found.append({name: value for name, value in row.items() if name not in told})
        kept = expected[len(found) - 1 : len(found)] if expected is not None else found[-1:]
        if list(differences([found[-1]], kept, nearly=NEARLY)):
            raise Differs

    def follow(part, row):
        log(part, row)
        note(row)

    with mock.patch.object(Run, "log", follow):
        note(notebooks.compute(run))
    return found


@functools.cache
def usual(name, beside):
    return outcome(name, dict(beside))


def other(name, parameter, data):
    """Another value of a parameter."""
    value = OF_EXPERIMENT.get((name, parameter), OTHER.get(parameter))
    return value.format(data=data) if isinstance(value, str) else value


@pytest.mark.parametrize(("name", "parameter"), [pair for pair in PAIRS if pair not in WITHOUT])
def test_another_value_has_an_effect(name, parameter, data):
    beside = BESIDE.get((name, parameter), {})
    expected = usual(name, tuple(beside.items()))
    with pytest.raises(ReproError if (name, parameter) in REFUSED else Differs):
        outcome(name, {**beside, parameter: other(name, parameter, data)}, expected)


def test_a_run_is_equal_to_itself():
    """Or everything would have an effect."""
    for name in ("cifar10-search", "ptb-eval", "spos-blocks"):
        outcome(name, {"seed": 0}, usual(name, ()))


def test_reasons_are_of_parameters_that_there_are():
    assert {*BESIDE, *OF_EXPERIMENT, *REFUSED, *WITHOUT} <= {*PAIRS}
