"""Cells of others in DARTS's own setup: as many parameters as the paper prints, by one table of widths."""

import pytest
import torch

from repro.cli import main
from repro.configs import widths
from repro.configs.registry import find
from repro.darts.cnn.evaluation_network import EvaluationNetwork
from repro.darts.complexity import count_parameters
from repro.darts.rnn.language_model import LanguageModel
from repro.data.text import SOURCES
from repro.errors import UsageError
from repro.experiments import cifar10_cells, language, selection
from repro.results import published
from repro.runs.run import open_run
from repro.spaces.genotypes import PUBLISHED

PRINTED = [
    ("cifar10", "NASNET", "darts_table1_cifar10", "nasnet-a-their-setup"),
    ("cifar10", "AMOEBANET", "darts_table1_cifar10", "amoebanet-a-their-setup"),
    ("ptb", "ENAS_RNN", "darts_table2_ptb", "enas-their-setup"),
    ("wikitext-2", "ENAS_RNN", "darts_table4_wikitext2", "enas-their-setup"),
]


def millions(data, cell, width):
    """Parameters of the network that the evaluation on `data` trains."""
    with torch.device("meta"):
        if data == "cifar10":
            return count_parameters(EvaluationNetwork(PUBLISHED[cell], channels=width)) / 1e6
        network = LanguageModel(SOURCES[data].vocabulary_size, width, PUBLISHED[cell])
        return sum(weight.numel() for weight in network.weights()) / 1e6


@pytest.mark.parametrize(("data", "cell", "table", "row"), PRINTED, ids=[row for *_, row in PRINTED])
def test_no_other_width_is_nearer_to_the_printed_number_of_parameters(data, cell, table, row):
    printed = published.table(table).set_index("id").loc[row, "params_millions"]
    width = widths.reference_width(cell, data, widths.WIDTHS[data][0])
    distance = {each: abs(millions(data, cell, each) - printed) for each in (width - 1, width, width + 1)}
    assert min(distance, key=distance.get) == width
    assert millions(data, cell, width) == pytest.approx(printed, rel=0.02)


def test_the_papers_own_widths_are_the_defaults():
    names = {"cifar10": ("cifar10-eval", "channels"), "ptb": ("ptb-eval", "hidden_size")}
    names |= {"wikitext-2": ("wikitext2-eval", "hidden_size")}
    for data, (experiment, name) in names.items():
        assert widths.WIDTHS[data][0] == find(experiment).parameters().values()[name]


def test_beside_narrower_networks_the_proportion_stays():
    assert widths.reference_width("NASNET", "digits", 18) == 16
    assert widths.reference_width("ENAS_RNN", "wikitext-2", 70) == 66
    assert widths.reference_width("ENAS_RNN", "english", 1) == 1


@pytest.mark.parametrize(
    ("experiment", "module", "trains", "changes", "expected"),
    [
        ("cifar10-progress", cifar10_cells, "channels", {"channels": 18}, {"NASNET": 16, "AMOEBANET": 18}),
        ("ptb-progress", language, "hidden_size", {"hidden_size": 170}, {"ENAS_RNN": 157}),
    ],
)
def test_figure_3_trains_each_cell_in_its_own_width(
    experiment, module, trains, changes, expected, tmp_path, monkeypatch
):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    trained = {}

    def judge(params, *data):
        return lambda part, genotype: trained.setdefault(genotype, params.values()[trains]) / 4

    cell = selection.to_json(PUBLISHED["DARTS_V2" if "channels" in changes else "DARTS_V2_RNN"])
    monkeypatch.setattr(module, "judge", judge)
    monkeypatch.setattr(selection, "find_needed", lambda *_: searched(cell))
    run = open_run(find(experiment), "smoke", {**changes, "search_seeds": (0,), "snapshots": (1,)})
    result = find(experiment).compute(run.params, run)
    assert result["reference_widths"] == expected
    assert result["references"] == {name: width / 4 for name, width in expected.items()}
    assert {PUBLISHED[name]: width for name, width in expected.items()}.items() <= trained.items()
    assert result["last"] == [changes[trains] / 4]


class searched:
    """A search of one epoch."""

    def __init__(self, cell):
        self.cell = cell

    def metrics(self):
        return [{"epoch": 0, "genotype": self.cell}]


def test_an_unknown_width_is_one_line_before_anything_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    with pytest.raises(UsageError, match="no width is known for the reference cell 'PNAS' on 'cifar10': take NASNET"):
        widths.reference_width("PNAS", "cifar10", 36)
    for experiment, data in (("cifar10-progress", "digits"), ("ptb-progress", "english")):
        monkeypatch.delitem(widths.WIDTHS, data)
        assert main(["run", experiment, "--with-needs"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"no width is known for a reference cell on '{data}'" in line
    assert not list(tmp_path.iterdir())
