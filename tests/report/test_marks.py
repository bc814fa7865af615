"""Marks: every picture of a run says in itself what made it, unless that is as published, and covers nothing by it."""

import html

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from report import test_figures

from repro.configs.registry import find
from repro.report import dot, figures_training, film, graphs, style
from repro.runs.run import open_run
from repro.spaces.genotypes import PUBLISHED, to_json

WORDS = "cifar10-search: smoke, order=1 · digits"


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    """A run that is not as published."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    return open_run(find("cifar10-search"), "smoke", {"order": 1})


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A run that is as published, whatever its profile is called."""
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    return open_run(find("bilevel-toy"), "smoke", {})


def test_every_form_of_a_figure_has_the_mark(smoke, published, tmp_path):
    draw = lambda: figures_training.curves(test_figures.METRICS)
    for name, run in (("none", None), ("published", published), ("smoke", smoke)):
        style.save(draw(), tmp_path / name, run)
    for extension in ("svg", "pdf", "png"):
        files = [tmp_path / f"{name}.{extension}" for name in ("none", "published", "smoke")]
        none, other, marked = (file.read_bytes() for file in files)
        assert none == other != marked
    assert WORDS in (tmp_path / "smoke.svg").read_text()
    assert f"Made by {WORDS}" in (tmp_path / "smoke.svg").read_text()  # in its title


@pytest.mark.parametrize("number", range(len([*test_figures.figures()])))
def test_a_mark_covers_nothing(number, smoke):
    figure = list(test_figures.figures())[number]
    share = style.mark_figure(figure, smoke)
    style.lay_out(figure, share)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (mark,) = [text for text in figure.texts if text.get_text() == WORDS]
    assert mark.get_window_extent().y0 >= 0
    assert mark.get_window_extent().x0 >= 0
    top = mark.get_window_extent().y1
    legends = [legend.get_window_extent(canvas.get_renderer()) for legend in figure.legends]
    top = max([top, *(box.y1 for box in legends)])
    assert all(box.y0 > mark.get_window_extent().y1 for box in legends)
    assert all(axes.get_tightbbox(canvas.get_renderer()).y0 > top for axes in figure.axes)


def test_a_long_mark_is_broken_into_lines(smoke, monkeypatch):
    monkeypatch.setattr(style, "mark", lambda run: "one=1, " * 60)
    figure = figures_training.curves(test_figures.METRICS)
    height = figure.get_figheight()
    style.mark_figure(figure, smoke)
    (text,) = figure.texts
    assert text.get_text().count("\n") + 1 > 2
    assert figure.get_figheight() - height > 0.13 * 3


def test_graphs_have_the_mark(smoke, published, tmp_path):
    graphs.save_cells(PUBLISHED["DARTS_V2"], tmp_path / "cell", smoke)
    for cell in ("normal", "reduce"):
        assert WORDS in html.unescape((tmp_path / f"cell-{cell}.svg").read_text())
    for name, run in (("none", None), ("published", published)):
        style.save_graph(graphs.network_graph(3, 4, 8), tmp_path / name, run)
    assert (tmp_path / "none.svg").read_text() == (tmp_path / "published.svg").read_text()


def test_a_mark_with_quotes_is_still_a_graph(smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "mark", lambda run: 'genotype="a\\b".json')
    source = style.marked_graph(graphs.network_graph(3, 4, 8), smoke)
    (file,), reason = dot.render(source, tmp_path / "network")
    assert (file.suffix, reason) == (".svg", None)
    assert "a\\b" in file.read_text()


def test_every_frame_of_a_film_has_the_mark(smoke, published, tmp_path):
    cell = PUBLISHED["DARTS_V2"]
    texts = lambda run: [text.get_text() for text in film._frame(cell, cell, 1, run).texts]
    assert sorted(texts(smoke)) == ["after epoch 1", WORDS]
    assert texts(published) == ["after epoch 1"]
    film.save([to_json(cell)] * 2, tmp_path / "marked.gif", smoke)
    film.save([to_json(cell)] * 2, tmp_path / "plain.gif", published)
    assert (tmp_path / "marked.gif").read_bytes() != (tmp_path / "plain.gif").read_bytes()
