"""The papers' numbers: every table reads, in its units, and says which rows were not checked."""

import subprocess
import sys

import pytest

from repro.configs.registry import EXPERIMENTS
from repro.errors import ReproError
from repro.results import published
from repro.results.columns import COLUMNS, heading


@pytest.mark.parametrize("name", published.TABLES)
def test_every_table_has_numbers_in_every_column_it_names(name):
    frame, numbers = published.table(name), [column.name for column in published.columns(name)]
    assert {"id", "architecture", *numbers} <= set(frame.columns)
    assert numbers
    assert len(frame)
    assert frame["architecture"].str.len().min() > 0
    assert all(frame[column].dtype == float for column in numbers)
    assert frame[numbers].notna().any(axis=1).all()


@pytest.mark.parametrize(
    ("name", "row", "column", "value"),
    [
        ("darts_table1_cifar10", "DARTS-2nd+cutout", "test_error_percent", 2.76),
        ("darts_table1_cifar10", "DARTS-1st+cutout", "std", 0.14),
        ("darts_table1_cifar10", "NASNet-A+cutout", "search_gpu_days", 2000),
        ("darts_table2_ptb", "DARTS-2nd", "test_perplexity", 55.7),
        ("darts_table2_ptb", "DARTS-1st", "search_gpu_days", 0.5),
        ("darts_table3_imagenet", "DARTS", "top1_error_percent", 26.7),
        ("darts_table3_imagenet", "DARTS", "mult_adds_millions", 574),
        ("darts_table4_wikitext2", "DARTS", "valid_perplexity", 71.2),
        ("darts_ablations", "depth20_C6_search", "test_error_percent", 2.88),
        ("spos_blocks", "SPOS block search", "top1_percent", 74.3),
        ("spos_bits", "ResNet-18 2W2A", "bitops_G", 6.32),
    ],
)
def test_headline_numbers(name, row, column, value):
    frame = published.table(name)
    assert frame.loc[frame["architecture"] == row, column].tolist() == [value]


def test_what_a_number_cannot_say_stands_in_the_note():
    ptb = published.table("darts_table2_ptb").set_index("architecture")
    assert ptb.loc["NAS", "note"] == "search cost (GPU days): 1e4 CPU days"
    assert ptb["search_gpu_days"].isna()["NAS"]
    imagenet = published.table("darts_table3_imagenet").set_index("architecture")
    assert imagenet.loc["PNAS", "search_gpu_days"] == 225
    assert imagenet.loc["PNAS", "note"] == "search cost (GPU days): about 225"


def test_rows_from_memory_are_marked():
    blocks = published.table("spos_blocks").set_index("architecture")["recalled"]
    assert not blocks["SPOS block search"]
    assert blocks.sum() == len(blocks) - 1
    assert published.table("spos_bits")["recalled"].all()
    assert "recalled" not in published.table("darts_table1_cifar10")


def test_every_number_is_described_in_one_place():
    for experiment in EXPERIMENTS.values():
        assert experiment.measures.keys() <= COLUMNS.keys()
    assert heading("test_error_percent") == heading("test_error") == "test error (%)"
    assert heading("best_epoch") == "best epoch"


def test_every_row_has_an_id_of_its_own():
    ids = [f"{name}/{key}" for name in published.TABLES for key in published.table(name)["id"]]
    assert len(ids) == len(set(ids))
    spos = [key for name in published.TABLES if name.startswith("spos") for key in published.table(name)["id"]]
    assert len(spos) == len(set(spos))  # pictures are of several of its tables


def test_the_mark_of_a_quoted_number_is_the_tables(monkeypatch):
    quoted = "{spos_bits.resnet18-2W2A.top1_percent} % at {spos_bits.resnet18-2W2A.bitops_G}, "
    quoted += "{darts_table1_cifar10.darts-2nd.test_error_percent} %"
    assert published.with_numbers(quoted) == "65.6 % at 6.32, 2.76 % (65.6: recalled, not checked against the paper)"
    assert published.remark("spos_bits") == "Rows marked as recalled: recalled, not checked against the paper."
    assert "recalled" not in published.remark("darts_table2_ptb") + published.remark("spos_released")
    lines = published._lines("spos_bits")
    monkeypatch.setattr(published, "_lines", lambda name: [{**line, "source": "Table 6"} for line in lines])
    assert published.with_numbers("{spos_bits.resnet18-2W2A.top1_percent} %") == "65.6 %"
    assert published.remark("spos_bits") == ""
    assert not published.table("spos_bits")["recalled"].any()


def test_every_file_is_a_table():
    assert {path.stem for path in published.FOLDER.iterdir()} == {*published.TABLES}


def test_an_unknown_table_is_refused():
    with pytest.raises(ReproError, match="did you mean 'spos_blocks'"):
        published.table("spos_block")


def test_importing_it_imports_nothing_heavy():
    code = "import sys, repro.results.published; print([m for m in ('pandas', 'numpy', 'torch') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
