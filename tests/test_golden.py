"""Every run of the smoke plan, cut in sizes, gives the numbers of golden.json on any processor.

Where they are meant to change, `make golden` writes them anew, and the diff says which did.
"""

import json
import re
from dataclasses import replace

import pytest
import spoken
from golden import FILE, RUNS, SIZES, Untimed, computed, cut, differences, float64, numbers, untimed

from repro.configs.registry import find
from repro.runs.run import find_needed

GOLDEN = json.loads(FILE.read_text())


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory):
    with cut(SIZES, tmp_path_factory.mktemp("golden")), float64():
        yield


def test_every_run_of_the_plan_has_its_numbers():
    assert list(GOLDEN) == list(RUNS)


@pytest.mark.parametrize("key", RUNS)
def test_numbers_are_the_kept_ones(key):
    assert not list(differences(numbers(computed(*RUNS[key])), GOLDEN[key]))


def test_rules_of_the_papers_come_into_force():
    """Those that depend on what happens: where sizes or seeds change, others may be needed."""
    averaged = [row["averaging"] for row in GOLDEN["ptb-eval genotype=DARTS_V2_RNN lr=5.0 epochs=5"]["."]]
    assert any(averaged)
    assert not averaged[0]
    for key in ("spos-blocks seed=0", "spos-channels seed=0", "spos-bits seed=0"):
        assert GOLDEN[key]["evolution"] != GOLDEN[key]["random"], key


def test_another_number_is_noticed():
    kept = {"row": [{"loss": 1.0, "cell": ["a", 1]}]}
    assert not list(differences({"row": [{"loss": 1.0 + 1e-9, "cell": ["a", 1]}]}, kept))
    for row in ({"loss": 1.00001, "cell": ["a", 1]}, {"loss": 1.0, "cell": ["b", 1]}, {"loss": 1.0}):
        assert list(differences({"row": [row]}, kept)), row
    assert list(differences({"row": []}, kept))


def test_a_time_says_nothing_and_what_is_counted_stays():
    row = {"seconds": {"one step": 8.3}, "ratio": 2.4, "loss": 8.3, "steps": 8, "rows": [{"seconds_first": 4.0}]}
    same = {"seconds": {"one step": 1.0}, "ratio": 1.0, "loss": 8.3, "steps": 8, "rows": [{"seconds_first": 1.0}]}
    assert untimed(row) == same


@pytest.mark.parametrize("key", RUNS)
def test_what_its_notebook_says_follows_the_run(key):
    """No number of either size is said of the cut run and of the same run under the paper's parameters."""
    run = Untimed(**vars(computed(*RUNS[key])))
    paper = replace(run, params=find(run.experiment).parameters())
    said = [spoken.findings(run.experiment)(size) for size in (run, paper)]
    for sentences in said:
        assert 2 <= len(sentences) <= 6
        assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in sentences)
    of_both = set.intersection(*(spoken.stated("\n".join(sentences)) for sentences in said))
    of_either = {*spoken.constants(run.params, paper.params), *spoken.constants(paper.params, run.params)}
    needed = [vars(find_needed(each, run.profile).params) for each in find(run.experiment).needs(run.params)]
    assert not of_both & of_either - {number for held in (run.result, *needed) for number in spoken.whole(held)}
