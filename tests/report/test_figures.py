"""Figures: what stands in them is the data, and the same data give the same bytes."""

import re
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from repro.report import figures_cost, figures_darts, figures_spos, figures_training, style
from repro.report.graphs import operation_label
from repro.results import published
from repro.results.others import Curve
from repro.settings import PACKAGE
from repro.spaces.genotypes import CELL_SPACES, CONVOLUTIONAL, RECURRENT, RECURRENT_OPERATIONS, SEARCH_OPERATIONS

TRAJECTORIES = [
    {"xi": xi, "alpha": [2.0, 1.5, end], "weight": [-2.0, 0.0, end], "fixed_point": end}
    for xi, end in ((0.0, 2.0), (0.5, 1.0))
]
METRICS = pd.DataFrame(
    {"epoch": [0, 1, 2], "train_loss": [3.0, 2, 1], "train_error": [90.0, 50, 20], "valid_loss": [3.5, 3, 2]}
    | {"valid_error": [91.0, 60, 40]}
)
TURNS = pd.DataFrame({f"seconds_{kind}": [1.0, 2, 9] for kind in ("first", "path")})
TURNS = TURNS.assign(seconds_second=[3.0, 4, 5], seconds_mixture=6.0, bytes_path=2.0**20, bytes_mixture=2.0**21)


def softmax(edges, operations, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(operations), edges).tolist()


def lines(axes):
    """The drawn lines by label, as arrays of points."""
    return {line.get_label(): np.column_stack(line.get_data()) for line in axes.lines}


def test_the_same_data_give_the_same_bytes(same_bytes):
    same_bytes(lambda: figures_training.curves(METRICS))


def test_settings_of_matplotlib_stay_as_they_were():
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures_training.curves(METRICS)
    assert dict(matplotlib.rcParams) == before


def test_figure_2_shows_every_step_and_the_fixed_points():
    (axes,) = figures_darts.bilevel_toy(TRAJECTORIES).axes
    drawn = lines(axes)
    assert drawn[r"$\xi = 0.5$"].tolist() == [[2, -2], [1.5, 0], [1, 1]]
    rings = [line.get_data() for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert [tuple(map(float, np.ravel(ring))) for ring in rings] == [(2, 2), (1, 1)]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < 1
    assert right > 2
    assert low < -2
    assert high > 2


def test_a_descent_that_diverges_does_not_hide_the_others():
    far = {"xi": 9.0, "alpha": [2.0, 1e9], "weight": [-2.0, -1e9], "fixed_point": 0.1}
    (axes,) = figures_darts.bilevel_toy([*TRAJECTORIES, far]).axes
    assert axes.get_xlim()[1] < 20


def test_curves_count_epochs_from_one_and_show_the_parts_there_are():
    loss, error = figures_training.curves(METRICS).axes
    assert lines(loss)["training"].tolist() == [[1, 3], [2, 2], [3, 1]]
    assert lines(error)["validation"].tolist() == [[1, 91], [2, 60], [3, 40]]
    alone = METRICS.drop(columns=["valid_loss", "valid_error"])
    assert list(lines(figures_training.curves(alone).axes[0])) == ["training"]
    assert figures_training.curves(METRICS.head(1)).axes[1].get_ylim()[1] > 91


def test_rows_of_alpha_are_named_by_node_then_source():
    first, second = r"$c_{k-2}$", r"$c_{k-1}$"
    assert CONVOLUTIONAL.edge_labels(2) == [
        f"{first} → 0",
        f"{second} → 0",
        f"{first} → 1",
        f"{second} → 1",
        "0 → 1",
    ]
    assert CONVOLUTIONAL.edge_labels(4)[-1] == "2 → 3"
    assert RECURRENT.edge_labels(2) == ["0 → 1", "0 → 2", "1 → 2"]
    assert RECURRENT.edge_labels(8)[-1] == "7 → 8"


def test_columns_are_named_by_the_space_of_the_cell(monkeypatch):
    """And not by their number: a convolutional space may have as many operations as the recurrent one."""
    five = replace(CONVOLUTIONAL, operations=SEARCH_OPERATIONS[:5])
    monkeypatch.setitem(CELL_SPACES, "normal", five)
    expected = ["zero", *map(operation_label, five.operations[1:])]
    axes = figures_darts.alpha_heatmap({"normal": softmax(5, 5)}).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == expected
    axes = figures_darts.alpha_history([softmax(5, 5)] * 2, "normal").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == expected


@pytest.mark.parametrize(
    ("cell", "edges", "operations"), [("normal", 14, SEARCH_OPERATIONS), ("recurrent", 36, RECURRENT_OPERATIONS)]
)
def test_the_strongest_operation_is_never_none(cell, edges, operations):
    values = softmax(edges, len(operations))
    axes = figures_darts.alpha_heatmap({cell: values}).axes[0]
    dots = axes.collections[-1].get_offsets()
    expected = [1 + int(np.argmax(row[1:])) for row in values]
    assert (np.floor(dots[:, 0]) == expected).all()
    assert axes.get_xticklabels()[0].get_text() == "zero"


def test_progress_keeps_the_best_of_each_run():
    snapshots = pd.DataFrame({"run": [0, 0, 1, 1], "cost": [1, 2, 1, 2], "value": [4.0, 5, 3, 2]})
    (axes,) = figures_darts.progress(snapshots, {"ENAS": 3.5}, cost="GPU days", measure="error (%)").axes
    drawn = lines(axes)
    assert drawn["median, current cell"].tolist() == [[1, 3.5], [2, 3.5]]
    assert drawn["median, best so far"].tolist() == [[1, 3.5], [2, 3]]
    assert "ENAS" in drawn


def test_every_edge_has_its_panel_and_its_strongest_operation():
    history = [softmax(5, len(SEARCH_OPERATIONS), seed) for seed in range(6)]
    figure = figures_darts.alpha_history(history, "normal")
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == CONVOLUTIONAL.edge_labels(2)
    (dots,) = panels["0 → 1"].lines
    expected = [1.5 + int(np.argmax(epoch[4][1:])) for epoch in history]
    assert dots.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert dots.get_ydata().tolist() == expected


def test_several_runs_are_points_about_their_mean_and_from_three_on_have_an_interval():
    runs = [METRICS.assign(run=run, train_loss=METRICS.train_loss + 2 * run) for run in range(3)]
    figure = figures_training.curves(pd.concat(runs[:2]))
    assert lines(figure.axes[0])["training"].tolist() == [[1, 4], [2, 3], [3, 2]]
    points = [line.get_ydata().tolist() for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert points[:2] == [[3, 2, 1], [5, 4, 3]]
    assert not figure.axes[0].collections
    assert "2 runs" in figure.marks
    assert "no interval" in figure.marks
    figure = figures_training.curves(pd.concat(runs))
    low, high = np.sort(figure.axes[0].collections[0].get_paths()[0].vertices[:, 1])[[0, -1]]
    half = stats.t.ppf(0.985, 2) * 2 / 3**0.5
    assert (low, high) == pytest.approx((3 - half, 5 + half))
    assert "97 % interval" in figure.marks


def test_random_cells_are_a_histogram_with_every_searched_one_on_it():
    figure = figures_darts.random_cells([4.0, 5, 5, 6], {"first order": [3.5, 4.5]}, "test error (%), desk")
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert lines(axes)["first order: 2"][:, 0].tolist() == [3.5, 4.5]
    assert "random 5.0, first order 4.0" in figure.get_label()


def test_skip_connections_are_counted_from_epoch_one():
    counts = {cell: pd.DataFrame({0: [0, 1, 4], 1: [0, 3, 4]}) for cell in ("normal", "reduce")}
    (axes,) = figures_darts.skips(counts).axes
    assert lines(axes)["normal cell"].tolist() == [[1, 0], [2, 2], [3, 4]]


def test_only_what_is_as_published_stands_beside_the_papers_rows():
    table = published.table("darts_table1_cifar10")
    ours = {"architecture": "DARTS-2nd+cutout", "search_method": "gradient", "profile": "short", "std here": 0.1}
    ours |= {"test_error_percent here": 2.9, "search_gpu_days here": 0.02}
    rows = pd.concat([table, pd.DataFrame([{**ours, "as_published": True}, {**ours, "as_published": False}])])
    figure = figures_cost.cost_against_error(rows)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 14  # DenseNet-BC has no search; one row is our own
    assert "AmoebaNet-A + cutout (their setup)" in texts
    assert "DARTS-2nd + cutout, here, short" in texts
    assert figure.get_label().endswith("13 published architectures and 1 of our own")


def test_what_a_search_found_is_said_by_the_table_and_not_by_names():
    table = published.table("spos_blocks").assign(architecture="a network")
    (axes,) = figures_cost.accuracy_against_cost(table, "flops_M", "cost").axes
    drawn = {line.get_label(): len(line.get_xdata()) for line in axes.lines if len(line.get_xdata())}
    assert drawn == {"SPOS": 1, "baseline": 6}


def figures():
    yield figures_darts.bilevel_toy(TRAJECTORIES)
    yield figures_training.curves(METRICS)
    yield figures_darts.alpha_heatmap({"normal": softmax(5, 8)})
    yield figures_darts.alpha_history([softmax(5, 8)] * 3, "normal")
    yield figures_cost.cost_against_error(published.table("darts_table1_cifar10"))
    yield figures_cost.accuracy_against_cost(published.table("spos_bits"), "bitops_G", "bit operations (G)")
    yield figures_training.orders(TURNS)
    yield figures_training.one_path(TURNS)
    snapshots = pd.DataFrame({"run": [0, 0], "cost": [1, 2], "value": [4.0, 5]})
    yield figures_darts.progress(snapshots, {}, cost="epochs", measure="error (%)")
    yield figures_darts.random_cells([4.0, 5, 5, 6], {"searched": [3.5]}, "error (%)")
    yield figures_darts.skips({cell: pd.DataFrame({0: [0, 1], 1: [1, 1]}) for cell in ("normal", "reduce")})
    yield figures_spos.taus(pd.DataFrame({"Kendall tau": [0.5, 0.6]}))
    yield figures_spos.rankings(pd.DataFrame({"inherited": [1.0, 2, 3], "stand_alone": [10.0, 30, 20]}), 0.3, 0.5)
    yield figures_spos.search_progress({"evolution": pd.DataFrame({"accuracy": [1.0, 2]})})
    yield figures_training.errors([Curve("others", {"train": (30.0, 20.0), "test": (25.0, 22.0)})], "A search")


def test_texts_beside_points_are_pushed_apart_and_keep_their_order():
    near = [3.0, 1.0, 1.1, 0.9, 5.0]
    placed = figures_cost.apart(near, 0.5)
    assert np.argsort(placed).tolist() == np.argsort(near).tolist()
    assert np.diff(sorted(placed)).min() >= 0.5
    assert (placed[0], placed[4]) == (3, 5)  # which had room


def test_steps_in_turn_have_the_middle_that_their_ratio_is_of():
    (axes,) = figures_training.orders(TURNS).axes
    assert lines(axes)["first order"].tolist() == [[1, 1], [2, 2], [3, 9]]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [2, 4]  # medians
    memory, seconds = figures_training.one_path(TURNS).axes
    assert lines(memory)["whole mixture"].tolist() == [[1, 2], [2, 2], [3, 2]]  # MiB
    assert [line.get_ydata()[0] for line in seconds.lines if line.get_linestyle() == "--"] == [4, 6]  # means
    assert memory.get_ylim()[0] == seconds.get_ylim()[0] == 0
    two = figures_training.one_path(TURNS.assign(seconds_two_paths=5.0, bytes_two_paths=3 * 2.0**19)).axes[0]
    assert lines(two)["two paths"].tolist() == [[1, 1.5], [2, 1.5], [3, 1.5]]
    assert lines(two)["whole mixture"].tolist() == lines(memory)["whole mixture"].tolist()


def test_every_figure_says_in_words_what_it_shows_and_what_its_marks_are():
    for figure in figures():
        assert len(figure.get_label()) > 30
        assert len(figure.marks) >= 30
        dashed = any(line.get_linestyle() == "--" and line.get_label().startswith("_") for line in figure.axes[0].lines)
        assert not dashed or "dashed" in figure.marks, figure.marks


def test_no_figure_is_without_words_for_its_marks_or_has_its_legend_elsewhere():
    """Of those too that are not drawn above."""
    for path in (PACKAGE / "report").glob("*.py"):
        text = path.read_text()
        assert not re.search(r"outside (upper|right|left)|axes\.legend\(", text), path
        assert path.name == "style.py" or "set_label(" not in text, f"{path.name}: style.describe says marks as well"


def test_legends_stand_below():
    for figure in figures():
        assert all(axes.get_legend() is None for axes in figure.axes)
        assert all(legend._loc == 8 for legend in figure.legends)  # lower center


def test_a_figure_is_shown_only_in_a_notebook(tmp_path, monkeypatch):
    import IPython

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, **options: shown.append((bundle, options)))
    style.save(figures_training.curves(METRICS), tmp_path / "a", None)
    assert not shown
    monkeypatch.setattr(IPython, "get_ipython", lambda: True)
    style.save(figures_training.curves(METRICS), tmp_path / "a", None)
    (bundle, options), (below, _) = shown
    assert below == {"text/markdown": "Points: the epochs of one run."}
    assert b64decode(bundle["image/png"]) == (tmp_path / "a.png").read_bytes()
    assert options["metadata"]["image/png"]["width"] == 630
    assert "Curves of loss and error over 3 epochs" in options["metadata"]["image/png"]["alt"]
