"""What a number may stand beside: at most one row, as published only where all behind it is, and never without mark."""

import dataclasses
import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from repro.configs import profiles
from repro.configs.references import Reference
from repro.configs.registry import EXPERIMENTS, find
from repro.errors import UsageError
from repro.report import report, run_report, sections, style, summary, tables
from repro.results import compare, protocol, published
from repro.results.rows import ROWS, Counterpart, answers
from repro.runs import states
from repro.runs.run import open_run

pytestmark = pytest.mark.usefixtures("folder")

ALL_ROWS = [(table, key, row) for table, rows in ROWS.items() for key, row in rows.items()]
SIZES = [*profiles.PROFILES]
# Data, and what is neither data nor protocol: all other parameters are the protocol's, but for the seed
DATA = {"dataset", "corpus", "images", "pixels", "tokens", "folder", "classes", "unreadable"}
NEITHER = {
    "device",
    "threads",
    "processes",
    "workers",
    "channels_last",
    "capture",
    "compile",
    "recompute",
    "test_each_epoch",
} | {
    "checkpoint_minutes",
    "dense",
}
RESULTS = {each.name: dict.fromkeys(each.measures.values(), 20.0) for each in EXPERIMENTS.values()}


def finished(experiment, profile="paper", **overrides):
    run = open_run(find(experiment), profile, overrides)
    run.finish(RESULTS.get(experiment, {"valid_error": 20.0}))
    return run


def lines(table, profile="paper"):
    """The rows of our own in a table, with None where there is nothing."""
    frame = compare.compare(table, profile)
    return frame[frame["runs"].notna()].astype(object).replace({np.nan: None}).to_dict("records")


# ---- what a parameter is


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_parameter_says_what_it_is(name):
    parameters = find(name).parameters
    fields = {field.name: field.metadata for field in dataclasses.fields(parameters)}
    measures = name == "spos-latency"  # the machine itself: on no data, and with so many threads
    neither, data = (NEITHER - {"threads"}, set()) if measures else (NEITHER, DATA)
    assert {each for each, facts in fields.items() if not facts["identifies"]} == neither & fields.keys()
    kinds = parameters.kinds()
    assert {each for each, kind in kinds.items() if kind == "data"} == data & fields.keys()
    assert {each for each, kind in kinds.items() if kind == "seed"} == {"seed"} & fields.keys()
    params = parameters()
    parts = [params.part(kind) for kind in ("protocol", "data", "seed")]
    assert sum(map(len, parts)) == len(params.identity())
    assert parts[0] | parts[1] | parts[2] == params.identity()


def test_where_a_run_computes_makes_no_other_run():
    first = open_run(find("cifar10-eval"), "smoke", {"genotype": "DARTS_V2"})
    first.path.rename(first.path.with_name("smoke,genotype=DARTS_V2,device=cpu,threads=3"))  # as older ones are called
    again = open_run(find("cifar10-eval"), "smoke", {"genotype": "DARTS_V2", "device": "cpu", "threads": 2})
    assert again.path.name.endswith("device=cpu,threads=3")
    assert open_run(find("cifar10-eval"), "smoke", {"genotype": "NASNET", "threads": 2}).path.name == (
        "smoke,genotype=NASNET"
    )


# ---- which row


@pytest.mark.parametrize("table", ROWS)
def test_no_two_rows_state_the_same_run_in_whatever_profile(table):
    stated = {size: {protocol.text_of(row.stated(size)): key for key, row in ROWS[table].items()} for size in SIZES}
    assert all(len(known) == len(ROWS[table]) for known in stated.values())
    for one, other in itertools.combinations(SIZES, 2):
        assert all(stated[one][text] == stated[other][text] for text in stated[one].keys() & stated[other].keys())
    assert len(answers(table, SIZES)) == len(set().union(*stated.values()))


@st.composite
def some_runs(draw):
    """A row's run in a profile, with up to two of its parameters changed to what other rows, or none, have."""
    _, _, row = draw(st.sampled_from(ALL_ROWS))
    profile = draw(st.sampled_from(SIZES))
    others = [each.changes for _, _, each in ALL_ROWS if each.experiment == row.experiment]
    values = {**row.changes_in(profile), **draw(st.sampled_from([{}, *others]))}
    values |= draw(st.sampled_from([{}, {"seed": 7}, {"epochs": 3}, {"iterations": 3}, {"lr": 0.5}, {"cells": 4}]))
    known = EXPERIMENTS[row.experiment].parameters.kinds()
    return row.experiment, profile, {name: value for name, value in values.items() if name in known}


@cache
def texts(table, size):
    """What the rows of a table state in a profile."""
    return {key: protocol.text_of(row.stated(size)) for key, row in ROWS[table].items()}


@given(some_runs())
def test_a_run_answers_at_most_one_row_of_a_table_and_only_what_that_states(case):
    experiment, profile, overrides = case
    try:
        text = protocol.text_of(protocol.stated(find(experiment), profile, overrides))
    except UsageError:
        assume(False)  # values of several rows that do not go together
    for table, rows in ROWS.items():
        mine = [key for key in rows if text in (texts(table, profile)[key], texts(table, "paper")[key])]
        assert len(mine) <= 1
        if experiment in {row.experiment for row in rows.values()}:
            assert answers(table, {profile}).get(text) == next(iter(mine), None)


def test_every_row_is_answered_by_its_run_and_every_id_is_one_of_the_table():
    for table, key, row in ALL_ROWS:
        assert key in set(published.table(table)["id"])
        run = finished(row.experiment, "smoke", **row.changes_in("smoke"))
        assert compare.rows_of([run]) == {run.path: (table, key)}


def test_a_run_that_answers_no_row_stands_below_them_with_its_label():
    finished("imagenet-eval", "smoke", genotype="NASNET")
    (line,) = lines("darts_table3_imagenet", "smoke")
    assert line["architecture"] == line["profile"] == "smoke, genotype=NASNET"
    assert line["id"] is None
    finished("cifar10-eval", "smoke", epochs=2, seed=3)
    assert [line["architecture"] for line in lines("darts_table1_cifar10", "smoke")] == ["smoke, epochs=2"]
    assert not lines("darts_ablations", "smoke")


def test_a_row_lists_seeds_together_and_other_spellings_too():
    for seed in (0, 1):
        finished("cifar10-eval", genotype="run:cifar10-select/search=run:cifar10-search/order=1", seed=seed)
    finished("cifar10-eval", genotype="run:cifar10-select/search=(run:cifar10-search/order=1,epochs=50)", seed=2)
    (line,) = lines("darts_table1_cifar10")
    assert (line["id"], line["runs"], line["as_published"]) == ("darts-1st", 3, True)


# ---- what may be compared


def test_a_difference_needs_the_papers_data_and_protocol():
    finished("cifar10-eval", epochs=20, cells=8)
    (line,) = lines("darts_table1_cifar10")
    assert (line["comparable"], line["as_published"], line["difference"]) == (True, False, None)
    assert tables.mark(line) == " (paper, changed)"
    finished("cifar10-eval")
    own, other = lines("darts_table1_cifar10")
    assert (own["as_published"], own["difference"], tables.mark(own)) == (True, pytest.approx(20 - 2.76), "")
    cells = tables.comparison("darts_table1_cifar10", compare.compare("darts_table1_cifar10", "paper"))
    shown = cells.set_index("architecture")["difference [97 % interval]"].dropna()
    assert shown.tolist() == ["+17.24", "other protocol"]
    assert other["architecture"] == "paper, cells=8, epochs=20"


@pytest.mark.parametrize(
    ("genotype", "right"),
    [
        ("run:cifar10-select/search=run:cifar10-search/epochs=2", False),
        ("run:cifar10-select/search=(run:cifar10-search/epochs=2,order=1)", False),
        ("run:cifar10-select/epochs=2", False),
        ("run:cifar10-search", False),
        ("DARTS_V2", False),
        ("run:cifar10-select/seed=1", True),
        ("run:cifar10-select", True),
    ],
)
def test_a_difference_needs_the_papers_searches(genotype, right):
    finished("cifar10-eval", genotype=genotype)
    (line,) = lines("darts_table1_cifar10")
    assert line["as_published"] is right
    assert (line["id"] == "darts-2nd") is right
    assert (line["difference"] is not None) is right


def test_the_rows_own_protocol_counts_not_the_default_one():
    for _, _, row in ALL_ROWS:
        finished(row.experiment, **row.changes_in("paper"))
    for table, rows in ROWS.items():
        found = lines(table)
        assert sorted(line["id"] for line in found) == sorted(rows)
        assert all(line["as_published"] and line["profile"] == "paper" for line in found)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_any_other_value_of_a_parameter_is_not_as_published(name):
    parameters = find(name).parameters
    for field in dataclasses.fields(parameters):
        value = another(parameters, field.name)
        if value is None:
            continue
        run = open_run(find(name), "paper", {field.name: value})
        may = not field.metadata["identifies"] or field.metadata["kind"] == "seed"
        assert protocol.as_published(run) is may or planned(name, field.name, value), (field.name, value)
        assert (field.metadata["kind"] != "data") or not protocol.comparable(run)


def test_the_papers_arithmetic_is_as_published_whatever_the_default():
    finished("cifar10-eval", precision="float32")
    finished("cifar10-eval", genotype="run:cifar10-select/search=run:cifar10-search/precision=auto")
    finished("cifar10-eval", precision="bf16")
    found = {line["profile"]: (line["as_published"], line["id"]) for line in lines("darts_table1_cifar10")}
    assert found.pop("paper, precision=float32") == (True, "darts-2nd")
    assert set(found.values()) == {(False, None)}


def planned(experiment, name, value):
    """Whether the paper has runs with this value too."""
    return any(each == experiment and changes.get(name) == value for each, changes, _ in profiles.profile("paper").plan)


def another(parameters, name):
    """Another value that the parameter takes; None where this test knows none."""
    value = getattr(parameters(), name)
    tries = (
        [not value] if isinstance(value, bool) else ["off", "cpu", "skip", "bf16", "digits", "english", "large-batch"]
    )
    if isinstance(value, int | float) and not isinstance(value, bool):
        tries = [value + 1, value / 2]
    if isinstance(value, Reference):
        needed = find(value.experiment).parameters.kinds()
        tries = [value.changed(**{"lr" if "lr" in needed else "population": 7})]
    tries += [(*value, 1)] if isinstance(value, tuple) else []
    for each in tries:
        try:
            built = parameters.build({name: each})
            built.refuse_idle({name: each})
            if built != parameters():
                return each
        except UsageError:
            continue
    return None


def test_data_are_those_of_what_a_run_needs_where_it_has_none():
    run = open_run(find("spos-blocks"), "smoke", {})
    assert not protocol.comparable(run)
    assert protocol.data(run) == "digits"
    assert protocol.comparable(open_run(find("spos-blocks"), "paper", {}))
    part = open_run(find("cifar10-eval"), "paper", {"images": 5000, "genotype": "DARTS_V2"})
    assert protocol.data(part) == "cifar10, images=5000"
    assert protocol.mark(part) == "cifar10-eval: paper, images=5000, genotype=DARTS_V2 · cifar10, images=5000"
    toy = open_run(find("bilevel-toy"), "smoke", {})
    assert (protocol.as_published(toy), protocol.comparable(toy), protocol.mark(toy)) == (True, True, "")


def test_a_profile_of_any_name_is_marked_by_what_it_changes(monkeypatch):
    monkeypatch.setitem(find("cifar10-eval").sizes, "desk", {"epochs": 30, "images": 500})
    monkeypatch.setitem(profiles.PROFILES, "whole", profiles.Profile("whole", ()))
    finished("cifar10-eval", "desk", genotype="NASNET", channels=32)
    finished("cifar10-eval", "whole", genotype="NASNET", channels=32)
    desk, whole = sorted(lines("darts_table1_cifar10", "desk"), key=lambda line: line["profile"])
    assert {desk["id"], whole["id"]} == {"nasnet-a-their-setup"}
    assert tables.mark(desk) == " (desk, cifar10, images=500)"
    assert (tables.mark(whole), whole["difference"]) == ("", pytest.approx(20 - 2.83))


def test_a_missing_row_gives_the_command_of_its_profile():
    row = ROWS["darts_table1_cifar10"]["nasnet-a-their-setup"]
    assert row.command("paper") == (
        "repro run cifar10-eval -p genotype=NASNET -p channels=32 --profile paper --with-needs"
    )
    assert row.changes_in("smoke") == {"genotype": "NASNET", "channels": 7}
    assert "--seeds 0,1,2,3,4,5,6,7,8,9" in Counterpart("cifar10-eval").command("paper")


def test_a_run_of_a_profile_that_there_is_no_more_is_told(folder):
    run = finished("cifar10-eval", "smoke", genotype="DARTS_V2")
    held = (run.path / "params.json").read_text()
    (run.path / "params.json").write_text(held.replace('"smoke"', '"tiny"'))
    (reason,) = states.survey().damaged.values()
    assert "unknown profile 'tiny'" in reason
    assert not lines("darts_table1_cifar10")


# ---- what is shown of it


def test_a_notebook_ends_with_the_rows_of_its_table_and_what_may_be_said(monkeypatch):
    shown = []
    monkeypatch.setattr(style, "show", lambda bundle: shown.extend(filter(None, [bundle.get("text/markdown")])))
    smoke = finished("wikitext2-eval", "smoke")
    frame = run_report.beside_paper(smoke).set_index("architecture")
    assert frame.index.tolist() == ["ENAS (their setup)", "DARTS", "this run (wikitext2-eval/smoke)"]
    assert frame.iloc[-1]["difference [97 % interval]"] == "other data"
    assert "test perplexity, here (smoke, english)" in frame
    run_report.show(smoke)
    assert shown == ["> wikitext2-eval: smoke · english. Not the paper's protocol on its data: no reproduction."]
    ablation = finished("cifar10-eval", **ROWS["darts_ablations"]["deeper-search"].changes)
    frame = run_report.beside_paper(ablation).set_index("architecture")
    assert frame.iloc[-1]["difference [97 % interval]"] == "+17.12"
    run_report.show(ablation)
    assert len(shown) == 1
    last = run_report.beside_paper(finished("spos-retrain", depth=18))["architecture"].iloc[-1]
    assert last.startswith("this run (")
    words = run_report.beside_paper(finished("cifar10-search", "smoke", order=1))
    assert words.iloc[2].tolist()[0] == "this run (smoke, order=1) found"
    assert words.shape[1] == 2  # what the paper claims may be of another kind than what a run finds: not side by side


def test_a_table_is_complete_with_every_row_and_seed_as_published():
    def complete():
        item = next(item for item in summary.ITEMS if item.table == "darts_table4_wikitext2")
        return summary._of_table(item, "paper")["complete"]

    finished("wikitext2-eval")
    finished("wikitext2-eval", genotype="ENAS_RNN")  # 700 wide
    assert not complete()
    finished("wikitext2-eval", genotype="ENAS_RNN", hidden_size=655)
    assert complete()
    counted = {"id": "darts-2nd", "runs": 9}
    assert not summary._has_all_seeds("darts_table1_cifar10", counted)
    assert summary._has_all_seeds("darts_table1_cifar10", {**counted, "runs": 10})


def test_the_summary_quotes_the_tables():
    found = {str(row["figure or table"].text): row["in the paper"] for row in summary.rows("smoke")}
    assert found["SPOS, channels"].endswith("74.7 (SPOS block + channel search)")
    assert found["SPOS, building blocks"].endswith("74.3 (SPOS block search)")


def test_what_is_as_published_is_drawn_last_over_what_is_not(tmp_path):
    for profile, changes in (("paper", {}), ("paper", {"epochs": 2}), ("smoke", {})):
        finished("cifar10-progress", profile, **changes)
    order = []
    sections.each("cifar10-progress", "smoke", lambda group, _: order.append(protocol.label(group.first)), tmp_path)
    assert order == ["smoke", "paper, epochs=2", "paper"]


def test_a_page_says_what_its_numbers_are():
    words = "'s protocol on the paper's data"
    assert report._says(finished("cifar10-eval")) == f"the paper{words}"
    assert report._says(finished("cifar10-eval", epochs=2)) == f"its numbers are not made by the paper{words}"
    assert report._says(finished("cifar10-eval", "smoke")).startswith("a first look on data that ships")
