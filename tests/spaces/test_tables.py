"""Tabular benchmarks: what is read is whole, and the networks are those that the table counted."""

import csv
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from repro.errors import ReproError, UsageError
from repro.spaces.nas_bench import (
    COLUMNS_201,
    MACRO_SPACE,
    OPERATIONS_201,
    SPACE_201,
    cell_201,
    gene_201,
    kendall_tau,
    nas_bench_201,
    nas_bench_macro,
)
from repro.spaces.space import Budget
from repro.spos.evolution import Settings, search
from repro.spos.macro import MacroLayout, MacroNetwork

NARROW = MacroLayout(size=8, channels=1, stem=4, head=16)


def write_macro(folder, drop=()):
    rows = {
        "".join(map(str, gene)): {"test_acc": [sum(gene), 1.0, 2.0], "params": 1, "flops": 2}
        for gene in MACRO_SPACE.genes()
    }
    for key in drop:
        del rows[key]
    path = folder / "nas-bench-macro" / "nas-bench-macro_cifar10.json"
    path.parent.mkdir()
    path.write_text(json.dumps(rows))
    return path


def write_201(folder, rows=5**6):
    path = folder / "nas-bench-201" / "nats_bench.csv"
    path.parent.mkdir()
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS_201.values(), "ArchitectureString"])
        for i, o in enumerate(itertools.islice(itertools.product(OPERATIONS_201, repeat=6), rows)):
            cell = f"|{o[0]}~0|+|{o[1]}~0|{o[2]}~1|+|{o[3]}~0|{o[4]}~1|{o[5]}~2|"
            writer.writerow([i, 2 * i, 3 * i, cell])
    return path


def test_a_macro_table_is_read(tmp_path):
    write_macro(tmp_path)
    table = nas_bench_macro(tmp_path)
    assert len(table.rows) == 6561
    assert table.accuracy((2,) * 8) == pytest.approx((16 + 1 + 2) / 3)
    with pytest.raises(ReproError, match=r"choice 3 for the block of layer 0 is out of range: give 0 to 2 \(identity"):
        table.accuracy((3,) + (0,) * 7)


def test_a_201_table_is_read(tmp_path):
    write_201(tmp_path)
    table = nas_bench_201(tmp_path, "cifar100")
    assert len(table.rows) == 15625
    assert table.accuracy((0, 0, 0, 0, 1, 2)) == 2 * 7
    assert table.accuracy((4, 4, 4, 4, 4, 4)) == 2 * 15624


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (["00000001"], r"has 6,560 of 6,561 networks, and not \[0, 0, 0, 0, 0, 0, 0, 1\] \(identity, .*mb_3x3_e3\)"),
        (["22222222", "00000000"], r"has 6,559 of 6,561 networks, and not \[0, 0, 0, 0, 0, 0, 0, 0\]"),
    ],
)
def test_missing_rows_are_one_clear_line(tmp_path, drop, message):
    write_macro(tmp_path, drop)
    with pytest.raises(ReproError, match=message) as caught:
        nas_bench_macro(tmp_path)
    assert "fetch it again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_rows_of_201_are_one_clear_line(tmp_path):
    write_201(tmp_path, rows=15000)
    with pytest.raises(ReproError, match="has 15,000 of 15,625 networks, and not"):
        nas_bench_201(tmp_path)


def test_a_201_table_is_read_by_the_names_of_its_columns(tmp_path):
    path = write_201(tmp_path)
    before = nas_bench_201(tmp_path).rows
    rows = [*csv.reader(path.read_text().splitlines())]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(row[::-1] for row in rows)
    assert nas_bench_201(tmp_path).rows == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("CIFAR10Test", "Cifar10Test", "it has no column CIFAR10TestAccuracy200Epochs"),
        ("\n1,2,3,|none", "\n,2,3,|none", r"\|none~0\|.* has no CIFAR10TestAccuracy200Epochs"),
        ("|none~0|+|none~0|none~1|+", "|none~0|+|none~1|none~0|+", "is no cell of NAS-Bench-201: write"),
        ("|none~0|+", "|max_pool~0|+", "is no cell of NAS-Bench-201: write"),
        ("none~1|none~2|\r\n1,", "none~1|skip_connect~2|\r\n1,", "15,625 rows hold 15,624 networks"),
    ],
)
def test_a_201_table_that_is_not_whole_is_one_clear_line(tmp_path, old, new, message):
    path = write_201(tmp_path)
    text = path.read_bytes().decode()
    assert old.replace("\n", "\r\n") in text or old in text
    path.write_bytes(text.replace(old, new).replace(old.replace("\n", "\r\n"), new).encode())
    with pytest.raises(ReproError, match=message) as caught:
        nas_bench_201(tmp_path)
    assert "is not the table of NAS-Bench-201" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cell_is_written_and_read_as_the_benchmark_does():
    for gene in itertools.islice(SPACE_201.genes(), 0, None, 97):
        assert gene_201(cell_201(gene)) == gene
    assert gene_201("|skip_connect~0|+|skip_connect~0|none~1|+|none~0|none~1|avg_pool_3x3~2|") == (1, 1, 0, 0, 0, 4)
    for wrong in ("", "|none~0|", cell_201((0,) * 6) + "|", cell_201((0,) * 6).replace("+", "")):
        with pytest.raises(ReproError, match="is no cell of NAS-Bench-201"):
            gene_201(wrong)


@pytest.mark.parametrize("damage", ['{"0000": {}}', '{"0000000x": {}}', "[1]", '{"00', '{"00000000": {"test_acc": 3}}'])
def test_a_damaged_table_is_one_clear_line(tmp_path, damage):
    write_macro(tmp_path).write_text(damage)
    with pytest.raises(ReproError, match=r"nas-bench-macro_cifar10.json is not the table of NAS-Bench-Macro") as caught:
        nas_bench_macro(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_table_and_an_unknown_data_set_are_named(tmp_path):
    with pytest.raises(ReproError, match=r"NAS-Bench-201 needs .*nats_bench.csv, which is missing"):
        nas_bench_201(tmp_path)
    with pytest.raises(UsageError, match="did you mean 'cifar10'"):
        nas_bench_201(tmp_path, "cifar_10")


def test_kendall_tau():
    assert kendall_tau([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx(4 / 6)
    assert kendall_tau([1, 2, 3], [5, 5, 5]) is None


def test_the_stand_alone_network_computes_what_the_supernet_computes():
    torch.manual_seed(0)
    supernet = MacroNetwork(NARROW).double()
    rng = np.random.default_rng(0)
    for gene in [(0,) * 8, *(supernet.space.random(rng) for _ in range(4))]:
        alone = MacroNetwork(NARROW, gene=gene).double()
        for (own, _), (parameter, region) in zip(alone.path(), supernet.path(gene), strict=True):
            own.data.copy_(parameter[region])
        x = torch.randn(5, 1, 8, 8).double()
        assert torch.allclose(alone(x), supernet(x, gene), rtol=1e-12, atol=0)
        supernet.zero_grad()
        supernet(x, gene).square().sum().backward()
        on = {id(parameter) for parameter, _ in supernet.path(gene)}
        assert all((p.grad is not None) == (id(p) in on) for p in supernet.parameters())


def test_every_network_has_the_size_that_the_table_gives(data_folder):
    with torch.device("meta"):
        costs = MacroNetwork(MacroLayout()).costs()
    table = nas_bench_macro(data_folder)
    genes = np.array(list(table.rows))
    assert costs["parameters"].many(genes).tolist() == [row.parameters for row in table.rows.values()]
    assert costs["multiply-adds"].many(genes).tolist() == [row.mult_adds for row in table.rows.values()]


def test_evolution_finds_better_networks_of_the_real_table_than_random_search(data_folder):
    table = nas_bench_macro(data_folder)
    cost = MacroNetwork(MacroLayout()).costs()["multiply-adds"]
    evolution = Settings(generations=6, population=20, parents=5, mutation=10, crossover=10)

    def best(seed, settings):
        state = search(table.space, table.accuracy, seed=seed, settings=settings, budgets=[Budget(cost, 60e6)])
        return table.accuracy(state.best(1)[0])

    found, drawn = ([best(seed, s) for seed in range(5)] for s in (evolution, replace(evolution, parents=0)))
    assert sum(found) > sum(drawn)


def test_the_real_201_table_is_whole(data_folder):
    table = nas_bench_201(data_folder)
    accuracies = [table.accuracy(gene) for gene in SPACE_201.genes()]
    assert len(accuracies) == 15625
    assert max(accuracies) == pytest.approx(94.37, abs=0.01)
    assert np.mean(accuracies) == pytest.approx(87.06, abs=0.01)
    assert table.accuracy((1,) * 6) == pytest.approx(54.30, abs=0.01)  # skip connections alone
