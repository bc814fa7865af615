"""What a run is: equality of values decides, whatever folders are called and whatever profiles say today."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from finished import existing_runs

from repro.configs import profiles
from repro.configs.parameters import Parameters, parameter
from repro.configs.references import parse_reference, reference
from repro.configs.registry import EXPERIMENTS, find
from repro.errors import ReproError
from repro.execution import listing, runner
from repro.results import compare, protocol
from repro.runs import identity, states
from repro.runs import run as runs
from repro.spaces.genotypes import PUBLISHED, to_json

OLD = Path(__file__).parents[1] / "old_runs"  # a whole reproduction, made before parameters were renamed
NEWER = {
    "cifar10-cost",
    "spos-cost",
    "spos-mobile",
    "spos-latency",
    "spos-evolution",
    "nb201-search",
    "nb201-paths",
    "darts-evolution",
    "ptb-paths",
    "hardware-front",
    "derivation",
    "hypergradient-truth",
    "hypergradient-search",
}  # experiments that there were not when it was made
SEARCH, EVALUATION = find("cifar10-search"), find("cifar10-eval")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def old(folder):
    shutil.copytree(OLD, folder)
    return folder


def finished(experiment, overrides, result=None, profile="smoke"):
    run = runs.open_run(find(experiment), profile, overrides)
    with run.session():
        run.finish(result or {"valid_error": 1.0})
    return run


def change(monkeypatch, experiment, **values):
    """Let the smoke profile say something else of an experiment."""
    sizes = find(experiment).sizes
    monkeypatch.setitem(sizes, "smoke", {**sizes["smoke"], **values})


def test_a_run_of_another_profile_table_is_not_handed_out(monkeypatch):
    before = finished("cifar10-search", {})
    assert runs.find_needed("run:cifar10-search", "smoke").path == before.path
    change(monkeypatch, "cifar10-search", alpha_lr=0.5)
    with pytest.raises(ReproError, match="is needed and not finished"):
        runs.find_needed("run:cifar10-search", "smoke")
    after = finished("cifar10-search", {}, {"valid_error": 2.0})
    assert after.path != before.path
    assert after.path.name.startswith("smoke~")
    assert runs.find_needed("run:cifar10-search", "smoke").path == after.path
    assert runs.find_needed("run:cifar10-search/alpha_lr=0.01", "smoke").path == before.path
    assert [len(group.runs) for group in compare.groups("cifar10-search")] == [1, 1]


def test_what_a_run_needed_belongs_to_it(monkeypatch):
    finished("cifar10-search", {"order": 1})
    named = {"genotype": "run:cifar10-search/order=1"}
    before = finished("cifar10-eval", named)
    change(monkeypatch, "cifar10-search", epochs=5)
    assert runs.open_run(EVALUATION, "smoke", named).path != before.path
    older = {"genotype": "run:cifar10-search/order=1,epochs=4"}
    assert runs.open_run(EVALUATION, "smoke", older).path == before.path  # the same search, said otherwise


def test_one_run_has_many_spellings():
    spellings = (
        "run:cifar10-search/order=1,seed=3",
        "run:cifar10-search/seed=3,order=1",
        "run:cifar10-search/seed=3,order=1,channels=4",  # smoke's
        "run:cifar10-search/(order=1),seed=3".replace("(order=1)", "order=(1)"),
    )
    found = {runs.open_run(EVALUATION, "smoke", {"genotype": text}).path for text in spellings}
    assert len(found) == 1


@pytest.mark.parametrize("name", sorted(EXPERIMENTS.keys() - NEWER))
def test_older_runs_are_read_and_are_those_asked_for(name, old):
    experiment = find(name)
    held = existing_runs(name)
    assert held, "every experiment has an older run"
    for run in held:
        asked = runs.open_run(experiment, run.profile, run.params.values())
        assert asked.path == run.path
        assert asked.result == run.result
        assert states.state(asked).word == "done"
        assert runs.held_identity(run.path) == identity.as_text(
            identity.identity(identity.describe(experiment, run.profile, run.params))
        )


def test_a_whole_older_reproduction_counts(old):
    survey = states.survey()
    assert len(survey.runs) == len(list(old.glob("*/*/params.json")))
    assert not survey.damaged
    assert not survey.uncounted


def test_a_new_parameter_leaves_older_runs_what_they_were(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Before(Parameters):
        steps: int = parameter(3, "steps")

    @dataclasses.dataclass(frozen=True)
    class After(Before):
        pixels: int = parameter(16, "side of an image", kind="data", before=32)

    @dataclasses.dataclass(frozen=True)
    class Unknown(Before):
        pixels: int = parameter(16, "side of an image", kind="data")

    toy = find("bilevel-toy")

    def become(parameters):
        monkeypatch.setitem(EXPERIMENTS, toy.name, dataclasses.replace(toy, parameters=parameters))
        identity.identity_of.cache_clear()

    monkeypatch.setattr(profiles, "changes", lambda *_: {})
    become(Before)
    old, other = finished("bilevel-toy", {}), finished("bilevel-toy", {"steps": 4})
    become(After)
    assert runs.read_run(old.path).params.pixels == 32
    assert runs.open_run(find("bilevel-toy"), "smoke", {"pixels": 32}).path == old.path
    assert runs.open_run(find("bilevel-toy"), "smoke", {}).path != old.path
    become(Unknown)
    with pytest.raises(ReproError, match="pixels is missing, and its value before it was a parameter is not known"):
        runs.read_run(other.path)
    identity.identity_of.cache_clear()


FILES = [
    (experiment.name, name)
    for experiment in EXPERIMENTS.values()
    for name, how in experiment.parameters.files().items()
    if how == "content"
]


def contents(experiment, name):
    """Three contents of a file that a parameter may name: a cell is read at once."""
    if name != "genotype":
        return "[1]", "[2]", "[3]"
    kind = find(experiment).parameters.CELL
    return [json.dumps(to_json(cell)) for cell in PUBLISHED.values() if isinstance(cell, kind)][:3]


@pytest.mark.parametrize(("experiment", "name"), FILES)
def test_a_file_counts_by_its_content(experiment, name, tmp_path, monkeypatch):
    one, two, three = contents(experiment, name)
    own = Path("it.json")
    own.write_text(one)
    first = finished(experiment, {name: "it.json"})
    assert runs.open_run(find(experiment), "smoke", {name: "it.json"}).path == first.path
    own.write_text(two)
    assert runs.open_run(find(experiment), "smoke", {name: "it.json"}).path != first.path
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "it.json").write_text(three)
    monkeypatch.chdir(elsewhere)
    third = runs.open_run(find(experiment), "smoke", {name: "it.json"})
    assert third.result is None
    (elsewhere / "it.json").write_text(one)
    assert runs.open_run(find(experiment), "smoke", {name: "it.json"}).path == first.path


def test_a_folder_of_pictures_counts_by_names_and_sizes(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))
    picture = tmp_path / "data" / "mine" / "train" / "cat" / "1.jpeg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"12")
    asked = {"dataset": "imagenet", "folder": "mine", "genotype": "DARTS_V2"}
    first = finished("imagenet-eval", asked)
    picture.write_bytes(b"123")
    identity.listing_of.cache_clear()
    assert runs.open_run(find("imagenet-eval"), "smoke", asked).path != first.path
    picture.write_bytes(b"21")
    identity.listing_of.cache_clear()
    assert runs.open_run(find("imagenet-eval"), "smoke", asked).path == first.path


def test_copies_links_and_strangers_are_told_and_not_counted(folder):
    run = finished("cifar10-search", {})
    shutil.copytree(run.path, folder / "cifar10-search" / "a copy")
    os.symlink(run.path, folder / "cifar10-search" / "a link")
    (folder / "cifar10-joint").mkdir()
    shutil.copytree(run.path, folder / "cifar10-joint" / "smoke")
    survey = states.survey()
    assert [each.path for each in survey.runs] == [run.path]
    assert survey.uncounted.keys() == {"cifar10-search/a copy", "cifar10-search/a link", "cifar10-joint/smoke"}
    assert all(
        "holds the same run as cifar10-search/smoke" in survey.uncounted[f"cifar10-search/a {kind}"]
        for kind in ("copy", "link")
    )
    assert "lies under cifar10-joint, but is a run of cifar10-search" in survey.uncounted["cifar10-joint/smoke"]
    assert len(compare.groups("cifar10-search")) == 1
    assert sum("not counted" in line for line in listing.status()) == 4  # three of them, and their number
    assert compare.overview()["state"].str.startswith("not counted: ").sum() == 3
    shutil.rmtree(run.path)  # what is left was made under another name
    survey = states.survey()
    assert not survey.runs
    assert survey.uncounted["cifar10-search/a copy"].startswith("was made as smoke and does not count under another")
    assert "lies under cifar10-joint, but is a run of cifar10-search" in survey.uncounted["cifar10-joint/smoke"]


def test_a_renamed_run_is_found_and_told(folder):
    run = finished("cifar10-search", {})
    run.path.rename(folder / "cifar10-search" / "mine")
    assert runs.find_needed("run:cifar10-search", "smoke").path.name == "mine"
    (job,) = runner.plan([(SEARCH, {})], "smoke", with_needs=False)
    assert job.run.result == {"valid_error": 1.0}
    assert "rename it" in states.survey().uncounted["cifar10-search/mine"]


def test_arms_are_runs_that_differ_in_seeds_alone():
    def what(experiment, overrides):
        run = runs.open_run(find(experiment), "smoke", overrides)
        return json.loads(runs.held_identity(run.path))

    one = what("cifar10-eval", {"genotype": "run:cifar10-search/order=1,seed=3", "seed": 5})
    two = what("cifar10-eval", {"genotype": "run:cifar10-search/order=1,seed=4"})
    other = what("cifar10-eval", {"genotype": "run:cifar10-search/seed=3"})
    assert identity.unseeded(one) == identity.unseeded(two) != identity.unseeded(other)
    assert (identity.seeds(one), identity.seeds(two)) == ((5, 3), (0, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run:cifar10-search/order=1,(seed=3", "its parentheses do not match"),
        ("run:cifar10-search/order=1),seed=3", "its parentheses do not match"),
        ("run:cifar10-search/order", "'order' is not of the form key=value"),
        ("run:cifar10-serch", "did you mean 'cifar10-search'"),
        ("run:cifar10-select/search=(run:cifar10-search/odrer=1)", "did you mean 'order'"),
    ],
)
def test_a_wrong_reference_is_refused_at_any_depth(text, message):
    with pytest.raises(ReproError, match=message):
        identity.resolve(EVALUATION, "smoke", {"genotype": text})


def test_a_reference_is_read_as_it_is_written():
    selection = reference("cifar10-select", search=reference("cifar10-search", order=1, seed=2), search_seeds=(0, 1))
    named = reference("cifar10-eval", genotype=selection, seed=1)
    assert parse_reference(str(named)) == named
    values = identity.resolve(EVALUATION, "smoke", {"genotype": str(selection)}).values()
    assert values["genotype"] == str(selection)


def test_a_value_whose_meaning_changed_is_read_as_what_it_was(old):
    run = runs.read_run(old / "cifar10-joint" / "smoke,strategy=simultaneous")
    assert run.params.strategy == "simultaneous-apart"  # alpha had an SGD of its own
    asked = lambda strategy: runs.open_run(find("cifar10-joint"), "smoke", {"strategy": strategy, "precision": "auto"})
    assert asked("simultaneous").result is None
    assert asked("simultaneous-apart").path == run.path
    assert runs.read_run(run.path).params.strategy == "simultaneous-apart"  # its description is of today now


def test_an_older_run_stands_in_tables_as_what_it_was(old):
    run = runs.read_run(old / "cifar10-joint" / "smoke,strategy=simultaneous")
    assert protocol.whole(runs.described(run.path))["strategy"] == "simultaneous-apart"
    today = protocol.stated(find("cifar10-joint"), "smoke", {"strategy": "simultaneous"})
    assert protocol.whole(today)["strategy"] == "simultaneous"
