"""Drawings: every edge of a cell is in its graph, the same DOT every time, and a file even where nothing can draw."""

import re
from xml.etree import ElementTree

import pytest

from repro.report import dot, graphs
from repro.report.dot import render
from repro.report.graphs import cell_graphs, network_graph, operation_label
from repro.spaces.genotypes import CELL_OPERATIONS, PUBLISHED, RECURRENT_OPERATIONS, ConvGenotype

CONVOLUTIONAL = [name for name, genotype in PUBLISHED.items() if isinstance(genotype, ConvGenotype)]
RECURRENT = [name for name in PUBLISHED if name not in CONVOLUTIONAL]
FORMATS = ("svg", "png", "pdf")


def operations(source):
    """The labelled edges of a graph: (from, to, label)."""
    return re.findall(r'(\w+) -> (\w+) \[label=" ([^"]+) "', source)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_a_convolutional_graph_holds_every_edge(name, kind):
    edges, concat = getattr(PUBLISHED[name], kind), getattr(PUBLISHED[name], f"{kind}_concat")
    source = cell_graphs(PUBLISHED[name])[kind]
    expected = [(str(state), str(2 + i // 2), operation_label(op)) for i, (op, state) in enumerate(edges)]
    assert operations(source) == expected
    assert re.findall(r"(\w+) -> output", source) == [str(state) for state in concat]


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_graph_holds_every_edge(name):
    genotype = PUBLISHED[name]
    source = cell_graphs(genotype)["recurrent"]
    assert operations(source) == [(str(state), str(1 + i), op) for i, (op, state) in enumerate(genotype.recurrent)]
    assert re.findall(r"(\w+) -> output", source) == [str(state) for state in genotype.concat]


def test_the_network_marks_its_reductions():
    source = network_graph(20, 36, 32, auxiliary=True)
    labels = re.findall(r'cell(\d+) \[label="([^"]+)"', source)
    assert len(labels) == 20
    assert [int(index) for index, label in labels if "reduction" in label] == [6, 13]
    assert labels[13][1] == r"14\nreduction\n144 ch\n8×8"
    assert "cell13 -> auxiliary" in source
    assert "cell4 -> cell6" in source
    assert "auxiliary" not in network_graph(8, 16, 32)


@pytest.mark.parametrize("op", [*CELL_OPERATIONS, *RECURRENT_OPERATIONS])
def test_every_operation_has_a_name_for_people(op):
    assert "_" not in operation_label(op)


def test_names_for_people():
    assert [operation_label(op) for op in ("sep_conv_3x3", "conv_7x1_1x7", "skip_connect", "none")] == [
        "sep conv 3×3",
        "conv 7×1, 1×7",
        "skip",
        "zero",
    ]


@pytest.mark.parametrize("name", ["DARTS_V2", "DARTS_V2_RNN"])
def test_a_drawing_is_a_picture_and_always_the_same(name, tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    for kind, source in cell_graphs(PUBLISHED[name]).items():
        assert source == cell_graphs(PUBLISHED[name])[kind]
        paths, note = render(source, tmp_path / kind, FORMATS)
        assert note is None
        assert [path.suffix for path in paths] == [".svg", ".png", ".pdf"]
        assert ElementTree.fromstring(paths[0].read_bytes()).tag.endswith("svg")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # another day
        again, _ = render(source, tmp_path / "again", FORMATS)
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_without_any_graphviz_the_graph_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(dot.shutil, "which", lambda _: None)
    monkeypatch.setattr(dot, "PYGRAPHVIZ", "import sys; sys.modules['pygraphviz'] = None\n" + dot.PYGRAPHVIZ)
    source = cell_graphs(PUBLISHED["DARTS_V1"])["normal"]
    paths, note = render(source, tmp_path / "cell")
    assert paths == [tmp_path / "cell.dot"]
    assert paths[0].read_text() == source
    assert "install Graphviz" in note
    assert "\n" not in note


def test_without_dot_pygraphviz_draws(tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    monkeypatch.setattr(dot.shutil, "which", lambda _: None)
    paths, note = render(network_graph(3, 4, 8), tmp_path / "network")
    assert (paths, note) == ([tmp_path / "network.svg"], None)


def test_a_dot_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho some trace >&2\necho 'no such font' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(dot.shutil, "which", lambda _: str(program))
    paths, note = render(network_graph(3, 4, 8), tmp_path / "network")
    assert paths == [tmp_path / "network.dot"]
    assert "(no such font)" in note


def test_dot_is_asked_first(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\nprintf "%s" "$1"\n')
    program.chmod(0o755)
    monkeypatch.setattr(dot.shutil, "which", lambda _: str(program))
    paths, note = render(network_graph(3, 4, 8), tmp_path / "network", ("svg", "pdf"))
    assert note is None
    assert [path.read_text() for path in paths] == ["-Tsvg", "-Tpdf"]


def test_saving_draws_every_cell_and_shows_it_in_a_notebook(tmp_path, monkeypatch):
    import IPython

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, **_: shown.append(bundle))
    graphs.save_cells(PUBLISHED["DARTS_V2"], tmp_path / "cell", None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell-normal.svg", "cell-reduce.svg"]
    assert not shown
    monkeypatch.setattr(IPython, "get_ipython", lambda: True)
    graphs.save_cells(PUBLISHED["DARTS_V2"], tmp_path / "cell", None)
    below = graphs.EDGES[True]
    assert [bundle.get("text/markdown") for bundle in shown] == ["normal cell", None, below, "reduce cell", None, below]
    assert shown[1]["image/svg+xml"] == (tmp_path / "cell-normal.svg").read_text()


def test_saving_without_graphviz_says_so_and_goes_on(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(dot, "_draw", lambda *_: 1 / 0)
    graphs.save_cells(PUBLISHED["DARTS_V2_RNN"], tmp_path / "cell", None)
    assert [path.name for path in tmp_path.iterdir()] == ["cell-recurrent.dot"]
    assert "install Graphviz" in capfd.readouterr().err
