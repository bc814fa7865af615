"""list, show and status: every experiment, every parameter, every run; coloured in a terminal, plain in a pipe."""

import re
from collections import Counter

import pytest

from repro import files
from repro.cli import main
from repro.configs import profiles
from repro.configs.registry import EXPERIMENTS, find
from repro.execution import listing
from repro.report import summary
from repro.results import compare
from repro.results.published import with_numbers
from repro.runs import provenance, snapshot
from repro.runs import run as runs
from repro.runs.run import open_run


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def finished(name, **overrides):
    run = open_run(find(name), "smoke", overrides)
    with run.session():
        run.finish({})
    return run


def stopped(name, count, **overrides):
    run = open_run(find(name), "smoke", overrides)
    with run.session():
        for epoch in range(count):
            run.log({"epoch": epoch, "seconds": 60.0})
    return run


def failed(name):
    stopped(name, 1, epochs=3).fail(RuntimeError("planted"))


def test_every_experiment_is_listed_with_its_cost_and_needs(capsys):
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for experiment in EXPERIMENTS.values():
        line = next(line for line in text.splitlines() if re.match(rf"{experiment.name}\b(?!-)", line))
        assert experiment.title in line
        assert f"{experiment.section}; published cost: {experiment.cost}" in text
    assert "needs cifar10-select" in text
    assert "\n  runs:" not in text


def test_the_list_counts_the_runs_by_their_state(capsys):
    finished("cifar10-search")
    finished("cifar10-search", seed=1)
    stopped("cifar10-search", 1, seed=2)
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("cifar10-search"))
    assert lines[place + 2].strip() == "runs: 2 done, 1 stopped"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_parameter_is_shown_with_its_default_meaning_and_profile(name, capsys):
    assert main(["show", name, "--profile", "smoke"]) == 0
    text = capsys.readouterr().out
    changed = profiles.changes("smoke", find(name))
    for field, value in find(name).parameters().values().items():
        (line,) = re.findall(rf"^  {field} = .*", text, re.MULTILINE)
        assert ("[" in line) == (field in changed), line
        assert not isinstance(value, int | float) or line.startswith(f"  {field} = {value}")
    assert with_numbers(find(name).claim) in text


def test_status_tells_every_state(capsys):
    assert main(["status"]) == 0
    assert "no run yet" in capsys.readouterr().out
    finished("bilevel-toy")
    stopped("cifar10-search", 3, epochs=4)
    failed("ptb-search")
    damaged = stopped("cifar10-joint", 1).path
    (damaged / "params.json").write_text("[]")
    running = stopped("cifar10-eval", 2, genotype="DARTS_V2", epochs=6)
    with running.session():
        assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["running", "failed", "stopped", "done", "damaged"]
    assert "cifar10-eval/smoke,genotype=DARTS_V2" in lines[0]
    assert "after 2 of 6 epochs, about 4 min left" in lines[0]
    assert lines[1].endswith("after 1 of 3 epochs, about 2 min left, RuntimeError: planted")
    assert lines[2].endswith("after 3 of 4 epochs, about 60 s left")
    assert lines[3].endswith("took 0 s")
    assert sorted(lines[-1].split(", ")) == ["1 damaged", "1 done", "1 failed", "1 running", "1 stopped"]


@pytest.mark.parametrize("command", [["list"], ["show", "cifar10-search"], ["status"]])
def test_colours_are_for_terminals_only(command, capsys, monkeypatch):
    finished("cifar10-search")
    main(command)
    plain = capsys.readouterr().out
    assert "\033" not in plain
    monkeypatch.setattr(listing.sys.stdout, "isatty", lambda: True, raising=False)
    main(command)
    coloured = capsys.readouterr().out
    assert "\033[" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    main(command)
    assert capsys.readouterr().out == plain


def test_status_and_tables_read_every_run_once_and_of_its_metrics_the_end(capsys, monkeypatch, tmp_path):
    seeds = 20
    for seed in range(seeds):
        stopped("cifar10-search", 1, seed=seed)
    file = tmp_path / "cifar10-search" / "smoke" / "metrics.jsonl"
    with open(file, "a", encoding="utf-8") as lines:
        lines.write('{"damaged":\n' + f'{{"epoch": 1, "seconds": 2.0, "words": "{"x" * 100}"}}\n' * 50_000 + '{"cut')
    read, parsed = Counter(), []
    for module in (runs, provenance):
        held = module.read_object
        monkeypatch.setattr(
            module, "read_object", lambda path, held=held, **kinds: read.update([path]) or held(path, **kinds)
        )
    monkeypatch.setattr(files, "_parsed", lambda text, held=files._parsed: parsed.append(text) or held(text))
    assert main(["status"]) == 0
    assert "after 50002 of 4 epochs" in capsys.readouterr().out
    assert set(read.values()) == {1}
    assert len(read) == 2 * seeds  # params.json and provenance.json
    assert len(parsed) < 5 * seeds
    read.clear()
    with snapshot.taken():
        summary.rows("smoke")
        compare.overview()
        compare.provenance_table()
    assert set(read.values()) == {1}
