"""Strict parameters: what is wrong is refused by one line that says what was expected."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro import progress
from repro.configs.cifar10_search import CifarSearch
from repro.configs.profiles import PROFILES, plan
from repro.configs.references import parse_reference, reference
from repro.configs.registry import EXPERIMENTS, find, typed
from repro.configs.toy import BilevelToy
from repro.errors import UsageError
from repro.runs.identity import resolve

FORMER = [
    (experiment.name, field.metadata["formerly"], field.name)
    for experiment in EXPERIMENTS.values()
    for field in dataclasses.fields(experiment.parameters)
    if field.metadata["formerly"]
]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ordr": 1}, r"unknown parameter 'ordr': did you mean 'order'\?"),
        ({"": 1}, "unknown parameter ''"),
        ({"order": 3}, r"order=3 is wrong: order takes one of 1, 2, 'exact'"),
        ({"epochs": 1.5}, r"epochs=1.5 is wrong: epochs takes a whole number"),
        ({"epochs": True}, "epochs=True is wrong"),
        ({"epochs": 0}, "epochs=0 is out of range: it must be at least 1"),
        ({"lr": "1e-3"}, "lr='1e-3' is wrong: lr takes a number"),
        ({"lr": float("nan")}, "lr=nan is wrong"),
        ({"dataset": "mnist"}, "dataset='mnist' is wrong: dataset takes one of 'cifar10', 'digits'"),
        ({"train_fraction": 1.0}, "train_fraction=1.0 is out of range: it must be more than 0 and less than 1"),
        ({"momentum": 1.5}, "momentum=1.5 is out of range: it must be at least 0 and at most 1"),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        CifarSearch.build(values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("cifar10-search", {"order": 1, "eps": 0.1}, "eps=0.1 has no effect with order=1: leave it out"),
        ("cifar10-search", {"order": "exact", "eps": 0.1}, "eps=0.1 has no effect with order=exact: leave it out"),
        ("cifar10-search", {"order": 1, "xi_scale": 2.0}, "xi_scale=2.0 has no effect with order=1"),
        ("ptb-search", {"order": 1, "frozen_masks": True}, "frozen_masks=True has no effect with order=1"),
        ("cifar10-joint", {"strategy": "simultaneous", "alpha_lr": 1.0}, "alpha_lr=1.0 has no effect with strategy="),
    ],
)
def test_a_value_without_effect_is_refused(name, values, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        resolve(find(name), "smoke", values)
    resolve(find(name), "smoke", dict(list(values.items())[:1]))


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_every_value_of_a_run_can_be_given_again(experiment):
    for profile in PROFILES:
        for switch, settings in experiment.parameters.IDLE.items():
            for setting, idle in settings.items():
                whole = {"pixels": 0} if "pixels" in experiment.parameters.kinds() else {}  # only cifar10 is halved
                params = resolve(experiment, profile, {switch: setting, **whole})
                assert set(idle) <= params.values().keys()
                assert resolve(experiment, profile, params.values()) == params  # as the processes of a group get them


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_value_of_0_is_explained_or_refused(experiment):
    """It could be taken for none, for all, or for an experiment that trains nothing; a seed of 0 is one like others."""
    for field in dataclasses.fields(experiment.parameters):
        if field.metadata["bounds"].get("low") == 0 and "seed" not in field.name:
            assert re.search(r"\b0\b", field.metadata["doc"]), field.name
    for name in {"lr", "weight_lr", "mutation_probability"} & set(experiment.parameters.__dataclass_fields__):
        with pytest.raises(UsageError, match=f"{name}=0.0 is out of range: it must be more than 0"):
            experiment.parameters.build({name: 0.0})


def test_texts_become_typed_values():
    texts = {"order": "1", "lr": "1e-3", "dataset": "digits", "epochs": "7"}
    assert CifarSearch.parse(texts) == {"order": 1, "lr": 0.001, "dataset": "digits", "epochs": 7}
    assert CifarSearch.parse({"order": "exact"}) == {"order": "exact"}
    assert BilevelToy.parse({"xi": "0,0.5"}) == {"xi": (0.0, 0.5)}
    for texts in ({"epochs": "many"}, {"lr": "fast"}, {"xi": ""}):
        with pytest.raises(UsageError, match="is wrong|unknown parameter"):
            CifarSearch.parse(texts)


@given(st.sampled_from(sorted(EXPERIMENTS)), st.text(), st.text())
def test_any_text_is_taken_or_refused_by_one_line(name, key, value):
    parameters = find(name).parameters
    for field in (key, *parameters().values()):
        try:
            parameters.build(parameters.parse({field: value}))
        except UsageError as error:
            assert "\n" not in str(error)


def test_parameters_survive_their_own_values():
    for experiment in EXPERIMENTS.values():
        params = experiment.parameters()
        assert experiment.parameters.build(params.values()) == params


def test_every_profile_is_made_of_known_parameters():
    for experiment in EXPERIMENTS.values():
        assert experiment.sizes.keys() <= PROFILES.keys()
    for profile in PROFILES:
        for experiment in EXPERIMENTS.values():
            resolve(experiment, profile, {})
        for experiment, overrides in plan(profile):
            resolve(experiment, profile, overrides)


def test_references_name_runs():
    named = parse_reference("run:cifar10-search/order=1,seed=3")
    assert named == reference("cifar10-search", order=1, seed=3)
    assert typed(named) == (find("cifar10-search"), {"order": 1, "seed": 3})
    assert parse_reference(str(named)) == named
    nested = parse_reference(
        "run:cifar10-eval/genotype=(run:cifar10-select/search=(run:cifar10-search/cells=20,channels=6),epochs=5),seed=1"
    )
    search = reference("cifar10-search", cells=20, channels=6)
    selection = reference("cifar10-select", search=search, epochs=5)
    assert nested == reference("cifar10-eval", genotype=selection, seed=1)
    assert parse_reference(str(nested)) == nested
    assert find("cifar10-eval").parameters.build(typed(nested)[1]).genotype == selection


@pytest.mark.parametrize(("experiment", "former", "name"), FORMER)
def test_a_former_name_is_read_and_todays_is_named(experiment, former, name, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_said", set())
    parameters, value = EXPERIMENTS[experiment].parameters, EXPERIMENTS[experiment].parameters().values()[name]
    assert parameters.parse({former: str(value)}) == {name: value}
    parameters.parse({former: str(value)})
    assert capsys.readouterr().err == f"{former} is called {name} now\n"  # once
    assert parameters.build({former: value}) == parameters()
    with pytest.raises(UsageError, match=f"{name} is given twice, once by its former name {former}"):
        parameters.build({former: value, name: value})
