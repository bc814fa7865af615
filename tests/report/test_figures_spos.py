"""The figures of SPOS: what stands in them is the data, and the Pareto front is one."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.report import dot, drawings, figures_spos, graphs, style, tables
from repro.results import intervals, others
from repro.spaces.path_spaces import SPACES, named

ROWS = pd.DataFrame({"accuracy": [50.0, 40.0, 60.0, 55.0], "multiply-adds": [3e6, 1e6, 4e6, 2e6]})
SEARCHES = {"evolution": ROWS, "random search": ROWS.iloc[::-1].reset_index(drop=True)}


def steps(axes):
    return {line.get_label(): np.column_stack(line.get_data()) for line in axes.lines}


def test_progress_shows_every_candidate_and_the_best_so_far():
    (axes,) = figures_spos.search_progress(SEARCHES).axes
    drawn = steps(axes)
    assert drawn["evolution, best so far"].tolist() == [[1, 50], [2, 50], [3, 60], [4, 60]]
    assert drawn["random search, best so far"].tolist() == [[1, 55], [2, 60], [3, 60], [4, 60]]
    assert [len(dots.get_offsets()) for dots in axes.collections] == [4, 4]


def test_log_likelihoods_are_drawn_as_perplexities_of_which_the_lowest_is_best():
    rows = pd.DataFrame({"log_likelihood": -np.log([300, 320, 200])})
    (axes,) = figures_spos.search_progress({"evolution": rows}).axes
    assert steps(axes)["evolution, best so far"] == pytest.approx(np.array([[1, 300], [2, 300], [3, 200]]))
    assert axes.get_ylabel() == "validation perplexity"


def test_cost_is_shown_in_its_unit_with_front_and_limit():
    figure = figures_spos.cost_against_accuracy(SEARCHES, "multiply-adds", unit=1e6, label="multiply-adds (M)", limit=5)
    (axes,) = figure.axes
    drawn = steps(axes)
    assert drawn["Pareto front"].tolist() == [[1, 40], [2, 55], [4, 60]]
    assert drawn["limit, 5"][0][0] == 5
    assert axes.get_xlabel() == "multiply-adds (M)"
    without = figures_spos.cost_against_accuracy(SEARCHES, "multiply-adds", unit=1e6, label="x")
    assert not any("limit" in label for label in steps(without.axes[0]))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_nothing_beats_the_front_and_the_front_beats_the_rest(candidates):
    costs, accuracies = zip(*candidates, strict=True)
    front = figures_spos.pareto_front(costs, accuracies)
    better = lambda one, other: (
        costs[one] <= costs[other] and accuracies[one] >= accuracies[other] and candidates[one] != candidates[other]
    )
    everyone = range(len(candidates))
    assert not any(better(one, other) for one in everyone for other in front)
    beaten = {other for one in front for other in everyone if better(one, other)}
    assert {candidates[place] for place in set(everyone) - beaten} == {candidates[place] for place in front}
    assert sorted(costs[place] for place in front) == [costs[place] for place in front]


ITERATIONS = pd.DataFrame(
    {"search": name, "run": seed, "iteration": iteration, "accuracy": 50.0 + place + 4 * seed + iteration}
    for place, name in enumerate(("random", "uniform", "evolution"))
    for seed in (0, 1)
    for iteration in range(3)
)


def test_iterations_are_means_over_the_supernets_with_each_as_points_beside_the_record_of_others():
    figure = figures_spos.iterations(ITERATIONS, others.evolution())
    sampling, search, *beside = figure.axes
    assert steps(sampling)["uniform over the cost"].tolist() == [[1, 54], [2, 55], [3, 56]]
    assert steps(sampling)["over paths"].tolist() == [[1, 53], [2, 54], [3, 55]]
    assert steps(search)["random search"].tolist() == [[1, 52], [2, 53], [3, 54]]
    points = [line.get_ydata().tolist() for line in search.lines if line.get_linestyle() == "None"]
    assert (min(map(min, points)), max(map(max, points))) == (50, 58)
    for axes in beside:
        (line,) = axes.lines
        assert len(line.get_ydata()) == 21  # 50 candidates and 20 times 50 more
        assert line.get_ydata()[[0, -1]].round(2).tolist() == [65.35, 65.49]


@pytest.mark.parametrize(("spaces", "layers"), [(("blocks", "channels"), [20] * 4), (("bits",), [8] * 3 + [16] * 3)])
def test_published_networks_are_drawn_layer_by_layer(spaces, layers):
    drawn = drawings.published_networks(*spaces)
    figure = figures_spos.networks(drawn)
    assert [len(axes.patches) for axes in figure.axes] == layers
    assert [axes.get_title(loc="left") for axes in figure.axes] == [*drawn]
    last = [patch.get_height() for patch in figure.axes[-1].patches]
    assert [f"x{height:g}" for height in last] == drawn[[*drawn][-1]]["width"]
    told = {(*patch.get_facecolor(), patch.get_hatch()) for axes in figure.axes for patch in axes.patches}
    assert len(told) == len({choice for each in drawn.values() for choice in next(iter(each.values()))})


def test_rankings_name_tau_even_where_there_is_none():
    networks = pd.DataFrame({"inherited": [1.0, 2, 3], "stand_alone": [10.0, 30, 20]})
    (axes,) = figures_spos.rankings(networks, 1 / 3, 0.5).axes
    assert axes.collections[0].get_offsets().tolist() == [[10, 1], [30, 2], [20, 3]]
    assert "0.33, 3 networks; cost alone: 0.50" in axes.get_title()
    more = pd.DataFrame({"inherited": [1.0, 2, 3, 4, 5, 6], "stand_alone": [10.0, 30, 20, 40, 60, 50]})
    between = intervals.kendall(more["stand_alone"], more["inherited"])
    assert between.low < 11 / 15 < between.high
    (axes,) = figures_spos.rankings(more, 11 / 15, 0.5).axes
    assert f"0.73 [{between.low:.2f}, {between.high:.2f}], 6 networks" in axes.get_title()
    ties = figures_spos.rankings(networks.assign(stand_alone=1.0), None, None).axes[0]
    assert "undefined" in ties.get_title()
    assert not ties.lines


def test_taus_of_several_supernets_are_points_with_their_interval():
    figure = figures_spos.taus(pd.DataFrame({"Kendall tau": [0.5, 0.6, 0.7], "of cost": [0.1, 0.2, None]}))
    points = [line.get_xdata().tolist() for line in figure.axes[0].lines]
    assert points == [[0.5, 0.6, 0.7], [pytest.approx(0.6)], [0.1, 0.2], [pytest.approx(0.15)]]
    assert "Kendall tau 0.60 [" in figure.get_label()


def test_the_same_data_give_the_same_bytes(same_bytes):
    same_bytes(lambda: figures_spos.search_progress(SEARCHES))


def test_a_path_is_drawn_layer_by_layer_with_a_row_for_each_stage():
    choices = {"block": ["shuffle_3x3", "xception", "shuffle_7x7"], "width": ["x1", "x0.2", "x1.6"]}
    source = graphs.path_graph(choices, [16, 8, 8, 4])
    labels = re.findall(r'layer\d \[label="([^"]+)"', source)
    assert labels == [r"shuffle 3×3\nx1\n8×8", r"xception\nx0.2", r"shuffle 7×7\nx1.6\n4×4"]
    visible = [edge for edge in re.findall(r"(\w+) -> (\w+)(.*)", source) if "invis" not in edge[2]]
    assert sorted(edge[:2] for edge in visible) == [
        ("layer0", "layer1"), ("layer1", "layer2"), ("layer2", "head"), ("stem", "layer0"),
    ]  # fmt: skip
    assert source.count("rank=same") == 3
    assert graphs.path_graph(choices, [16, 8, 8, 4]) == source


def test_every_layer_that_computes_has_a_fill_and_the_caption_says_what_it_is(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(style, "show", lambda bundle, **more: shown.append(bundle))
    names = [name for space in SPACES.values() for kind in named(space.choices).values() for name in kind]
    computing = [name for name in names if name not in ("skip", "identity") and not re.fullmatch(r"x[\d.]+", name)]
    source = graphs.path_graph({"choice": computing}, [8] * (len(computing) + 1))
    fills = re.findall(r'layer\d+ \[.*fillcolor="(#\w+)"', source)
    assert len(fills) == len(computing)
    assert set(fills) <= {*graphs.FILLS.values()}
    graphs.save_path({"choices": {"block": ["mb3_5x5"]}, "sizes": [8, 8]}, tmp_path / "network", None)
    assert shown[-1] == {"text/markdown": graphs.PATH}


def test_a_drawn_path_is_a_file_even_where_nothing_can_draw(tmp_path, monkeypatch):
    monkeypatch.setattr(dot, "_draw", lambda *arguments: (_ for _ in ()).throw(RuntimeError("no dot")))
    style.save_graph(graphs.path_graph({"bits": ["1W2A"]}, [8, 8]), tmp_path / "network", None)
    assert "1W2A" in (tmp_path / "network.dot").read_text()


def test_sums_stand_beside_what_whole_networks_take_on_one_scale():
    rows = [("random", 10.0, 9.0), ("random", 20.0, 18.0), ("PROXYLESS_R", 30.0, 33.0)]
    networks = pd.DataFrame(rows, columns=["network", "measured", "summed"])
    figure = figures_spos.sums(networks, 10.0)
    (axes,) = figure.axes
    assert steps(axes)["drawn at random"].tolist() == [[10, 9], [20, 18]]
    assert steps(axes)["published"].tolist() == [[30, 33]]
    assert axes.get_xlim() == axes.get_ylim() == (0, 1.05 * 33)
    assert "2 random networks, 10.0 % away on average, and 1 published" in figure.get_label()


def test_latency_is_shown_layer_by_layer_and_blank_where_a_choice_is_lacking():
    table = {"choices": [["a", "b", "skip"]], "lacking": [0], "cost": {"table": [[1.0, 2.0, 2.0], [3.0, 4.0, 0.1]]}}
    shown = tables.by_layer(table)
    assert shown.columns.tolist() == ["layer", "a", "b", "skip"]
    assert shown["b"].tolist() == [2.0, 4.0]
    assert np.isnan(shown["skip"][0])
    assert shown["skip"][1] == 0.1
    both = {"choices": [["a", "b"], ["x1", "x2"]], "lacking": [], "cost": {"table": [[[1.0, 2.0], [3.0, 4.0]]]}}
    assert tables.by_layer(both).drop(columns="layer").to_dict("records") == [
        {"a x1": 1.0, "a x2": 2.0, "b x1": 3.0, "b x2": 4.0}
    ]
