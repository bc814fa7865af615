"""The papers computed in float32: searches do so too, and a run that did not says so beside every number."""

import pytest
from finished import run

from repro.configs.cifar10_search import SearchNetworkTraining
from repro.configs.profiles import PROFILES
from repro.configs.registry import find
from repro.report import run_report, sections, tables
from repro.results import compare
from repro.runs import provenance
from repro.runs.identity import resolve
from repro.runs.run import open_run
from repro.training import acceleration

pytestmark = pytest.mark.usefixtures("folder")

TINY = {"images": 48, "batch": 12, "channels": 2, "cells": 2, "epochs": 1}
TRAINED = {**TINY, "genotype": "DARTS_V2", "cells": 3}


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Let `auto` find something faster than float32."""
    monkeypatch.setattr(acceleration, "precision", lambda asked, device: {"auto": "tf32"}.get(asked, asked))


def said(run):
    """Everything that tables say of a run, as text."""
    numbers = compare.compare("darts_table1_cifar10", "smoke")
    table = tables.comparison("darts_table1_cifar10", numbers)
    frames = [
        run_report.beside_paper(run),
        run_report.sources(run),
        table,
        tables.work("darts_table1_cifar10", numbers),
        compare.overview(),
        compare.provenance_table(),
    ]
    groups = [sections.caption(group) for group in compare.groups(run.experiment)]
    return [*(frame.to_string() for frame in frames), *groups]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["cifar10-search", "cifar10-joint"])
def test_searches_compute_in_float32(profile, name):
    assert issubclass(find(name).parameters, SearchNetworkTraining)
    assert resolve(find(name), profile, {}).precision == "float32"


@pytest.mark.parametrize(("asked", "computed"), [({}, ""), ({"precision": "auto"}, "tf32")])
def test_a_search_on_a_gpu_computes_in_float32_unless_asked(on_a_gpu, asked, computed):
    searched = run("cifar10-search", nodes=1, order=1, **asked, **TINY)
    assert provenance.precision(searched.path) == computed
    assert ("tf32" in run_report.sources(searched).to_string()) == bool(computed)


def test_every_table_says_what_was_not_computed_in_float32(on_a_gpu):
    trained = run("cifar10-eval", **TRAINED)
    assert all("tf32" in text for text in said(trained)), said(trained)
    assert "here (smoke, changed, digits)" in said(trained)[0]


def test_no_table_says_float32():
    trained = run("cifar10-eval", **TRAINED)
    assert not any("float32" in text for text in said(trained)), said(trained)


def test_a_run_that_went_on_otherwise_says_both():
    found = open_run(find("cifar10-eval"), "smoke", TRAINED)
    for chosen in ("bf16", "float32", "bf16"):
        with found.session():
            found.child("part").record(precision=chosen)
    assert provenance.precision(found.path) == "bf16 and float32"
