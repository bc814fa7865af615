"""The papers' numbers: every table reads, in its units, and each row of SPOS has a run or is quoted."""

import subprocess
import sys

import pytest

from repro.configs.registry import EXPERIMENTS
from repro.errors import ReproError
from repro.results import published
from repro.results.columns import COLUMNS, heading
from repro.results.rows import ROWS


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
        ("spos_channels", "random channels (5 runs)", "top1_percent", 73.1),
        ("spos_mobile", "SPOS at FBNet-B's latency", "latency_ms", 17),
        ("spos_cost", "SPOS", "memory_GB", 24),
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


def test_a_text_quotes_the_tables():
    text = "{spos_bits.resnet18-2W2A.top1_percent} % at {spos_bits.resnet18-2W2A.bitops_G}, "
    text += "{darts_table1_cifar10.darts-2nd.test_error_percent} %"
    assert published.with_numbers(text) == "65.6 % at 6.32, 2.76 %"


@pytest.mark.parametrize("name", [name for name in published.TABLES if name.startswith("spos")])
def test_every_row_of_spos_has_a_planned_run_or_is_quoted(name):
    table, rows = published.table(name).set_index("id"), ROWS.get(name, {})
    assert rows.keys() <= {*table.index}
    for key, source in table["source"].items():
        run = key in rows and bool(rows[key].seeds("paper"))
        assert run != ("; quoted" in source), key


def test_every_file_is_a_table():
    assert {path.stem for path in published.FOLDER.iterdir()} == {*published.TABLES}


def test_an_unknown_table_is_refused():
    with pytest.raises(ReproError, match="did you mean 'spos_blocks'"):
        published.table("spos_block")


def test_importing_it_imports_nothing_heavy():
    code = "import sys, repro.results.published; print([m for m in ('pandas', 'numpy', 'torch') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
