"""Genotypes are values: they survive JSON, are hashable, and only valid cells exist."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro import progress
from repro.errors import ReproError
from repro.spaces import genotypes
from repro.spaces.genotypes import (
    CELL_OPERATIONS,
    PUBLISHED,
    ConvGenotype,
    Edge,
    RecurrentGenotype,
    from_json,
    load,
    to_json,
)

REFERENCE = Path(__file__).parents[1] / "reference"
CONV = {"normal": [["skip_connect", 0], ["skip_connect", 1]], "normal_concat": [2]}
CONV |= {"reduce": CONV["normal"], "reduce_concat": [2]}


@st.composite
def cells(draw):
    nodes = draw(st.integers(1, 5))
    edges = [
        [draw(st.sampled_from(CELL_OPERATIONS)), draw(st.integers(0, 1 + node))] for node in range(nodes) for _ in "ab"
    ]
    return edges, draw(st.lists(st.integers(2, 1 + nodes), min_size=1, unique=True))


@given(cells(), cells())
def test_every_valid_cell_survives_json(normal, reduce):
    values = {"normal": normal[0], "normal_concat": normal[1], "reduce": reduce[0], "reduce_concat": reduce[1]}
    genotype = from_json(json.loads(json.dumps(values)))
    assert to_json(genotype) == values
    assert from_json(to_json(genotype)) == genotype
    assert hash(from_json(values)) == hash(genotype)
    assert genotype.normal[0] == Edge(*normal[0][0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_cells_survive_json(name):
    genotype = load(name)
    assert from_json(json.loads(json.dumps(to_json(genotype)))) == genotype


@pytest.mark.parametrize(("file", "name"), [("cifar_darts_v2", "DARTS_V2"), ("cifar_nasnet", "NASNET")])
def test_published_cells_equal_the_reference(file, name):
    with np.load(REFERENCE / f"cnn_{file}.npz") as arrays:
        assert from_json(json.loads(str(arrays["genotype"]))) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"normal": [["conv_9x9", 0], ["skip_connect", 1]]}, ["'conv_9x9'", "sep_conv_3x3"]),
        ({"normal": [["none", 0], ["skip_connect", 1]]}, ["'none'", "skip_connect"]),
        ({"reduce": [["skip_connect", 0], ["skip_connect", 2]]}, ["reads state 2", "forward", "0 to 1"]),
        ({"reduce": [["skip_connect", 0], ["skip_connect", -1]]}, ["reads state -1", "0 to 1"]),
        ({"normal": [["skip_connect", 0]]}, ["1 edges", "too few"]),
        ({"normal": []}, ["0 edges", "too few"]),
        ({"normal_concat": [2, 3]}, ["concat", "3", "from 2 to 2"]),
        ({"normal_concat": [1]}, ["concat", "1", "from 2 to 2"]),
        ({"normal_concat": [2, 2]}, ["concat", "[2, 2]"]),
        ({"normal_concat": []}, ["concat"]),
        ({"normal_concat": 2}, ["normal_concat is 2", "a list"]),
        ({"normal": "skip_connect"}, ["'skip_connect'", "a list"]),
        ({"normal": [["skip_connect", "0"], ["skip_connect", 1]]}, ["['skip_connect', '0']", "[operation, source]"]),
        ({"normal": ["ab", "cd"]}, ["'ab'", "[operation, source]"]),
        ({"extra": []}, ["extra", "normal_concat"]),
    ],
)
def test_invalid_cells_are_refused_in_one_line(change, words):
    with pytest.raises(ReproError) as caught:
        from_json(CONV | change)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_invalid_recurrent_cells_are_refused():
    with pytest.raises(ReproError, match="reads state 1, a forward edge; expected a source from 0 to 0"):
        RecurrentGenotype((Edge("relu", 1),), (1,))
    with pytest.raises(ReproError, match="unknown operation 'skip_connect'; expected one of tanh, relu, sigmoid"):
        from_json({"recurrent": [["skip_connect", 0]], "concat": [1]})
    with pytest.raises(ReproError, match="a JSON object"):
        from_json([1])


def test_a_genotype_is_loaded_by_name_file_or_run(tmp_path):
    file = tmp_path / "genotype.json"
    file.write_text(json.dumps(CONV))
    assert load("DARTS_V2") is PUBLISHED["DARTS_V2"]
    assert load(file) == load(str(tmp_path)) == from_json(CONV)
    assert isinstance(load(file), ConvGenotype)
    with pytest.raises(ReproError, match=r"did you mean .DARTS_V\d.\?"):
        load("DARTS_V9")
    with pytest.raises(ReproError, match="cannot read the genotype file"):
        load(tmp_path / "missing.json")
    file.write_text("__import__('os')")
    with pytest.raises(ReproError, match="cannot read the genotype file"):
        load(file)
    file.write_text("[]")
    with pytest.raises(ReproError, match=r"genotype.json: a genotype is a JSON object"):
        load(file)


PRINTED = (  # as DARTS's `train_search.py` logs it, and as PC-DARTS and P-DARTS print theirs
    "Genotype(normal=[('skip_connect', 0), ('sep_conv_3x3', 1)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 0), ('dil_conv_5x5', 1)], reduce_concat=[2])"
)
SPELLED = {
    "alone": PRINTED,
    "line": f"2019-01-10 10:42:47,083 PM genotype = {PRINTED}\n",
    "log": f"genotype = {PRINTED.replace('skip_connect', 'sep_conv_5x5')}\nepoch 1 lr 2.5e-02\ngenotype = {PRINTED}\n",
    "source": "from collections import namedtuple\nGenotype = namedtuple('Genotype', 'normal normal_concat')\n"
    "# OLD = Genotype(normal=[])\nPC_DARTS_cifar = " + PRINTED.replace(", ", ",\n    "),
}


@pytest.mark.parametrize("form", SPELLED)
def test_cells_are_read_as_the_field_prints_them(form, tmp_path):
    cell = from_json(CONV | {"normal": [["skip_connect", 0], ["sep_conv_3x3", 1]]})
    cell = replace(cell, reduce=(Edge("max_pool_3x3", 0), Edge("dil_conv_5x5", 1)))
    (tmp_path / "log.txt").write_text(SPELLED[form])
    assert load(tmp_path / "log.txt") == load(SPELLED[form]) == cell
    (tmp_path / "log.txt").write_bytes(SPELLED[form].replace("\n", "\r\n").encode("utf-8-sig"))
    assert load(str(tmp_path / "log.txt")) == cell


def test_which_cell_of_a_log_is_taken_is_said(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_said", set())
    load(SPELLED["line"])
    assert not capsys.readouterr().err
    load(SPELLED["log"])
    assert "2 different cells in one text: the last one is taken" in capsys.readouterr().err


def test_every_published_cell_is_read_as_it_is_printed():
    for genotype in PUBLISHED.values():
        fields = {
            name: [(*edge,) if isinstance(edge, Edge) else edge for edge in value]
            for name, value in vars(genotype).items()
        }
        text = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        assert load(f"Genotype({text})") == genotype == load(json.dumps(to_json(genotype)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"A = {PRINTED}\nB = {PRINTED}", ["holds 2 cells, A, B"]),
        (PRINTED[:-1], ["not whole"]),
        (PRINTED.replace("range(2, 3)", "range(2, 10**9)"), ["not whole, or holds more"]),
        (PRINTED.replace("range(2, 3)", "range(2, 1000000000000000000000)"), ["not whole, or holds more"]),
        (PRINTED.replace("0)", "__import__('os').system('exit 1'))"), ["holds more than names and numbers"]),
        ("Genotype([('skip_connect', 0)], range(2, 3))", ["its fields have no names"]),
        ("Genotype(normal=" + "(" * 300 + ")" * 301, ["not whole"]),
        ("Genotype(normal=" + "-" * 15_000 + "1)", ["not whole"]),
        ("# " + PRINTED, ["no cell but in comments"]),
        (PRINTED.replace("skip_connect", "nor_conv_3x3"), ["unknown operation 'nor_conv_3x3'"]),
        ("|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|", ["unknown genotype", "a text of a cell"]),
        ('{"cells": 3}', ["a genotype with the keys", '{"normal": [["sep_conv_3x3", 0]']),
        ("x" * 5000, ["unknown genotype"]),
    ],
)
def test_other_spellings_are_refused_in_one_line(text, words, tmp_path):
    (tmp_path / "cell.txt").write_text(text)
    with pytest.raises(ReproError) as caught:
        load(text)
    assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(ReproError, match="expected JSON such as"):
        load(tmp_path / "cell.txt")


def test_the_module_needs_no_torch():
    source = Path(genotypes.__file__).read_text()
    assert "import torch" not in source
