"""What people type: understood, or answered at once with the nearest right word; refused runs leave nothing behind."""

import json
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from repro import __version__, settings
from repro.cli import COMMANDS, main
from repro.configs import profiles
from repro.configs.registry import EXPERIMENTS, find
from repro.execution import arguments, completion, plan, runner
from repro.report import pages, typeset
from repro.runs import removal
from repro.runs.locks import lock
from repro.runs.run import open_run
from repro.settings import NOTEBOOKS
from repro.training import fit

pytestmark = pytest.mark.usefixtures("folder")


def finished(**overrides):
    run = open_run(find("bilevel-toy"), "smoke", overrides)
    run.finish({"test_error": 2.7634, "steps": 5, "genotype": {}})
    return run


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("run spos-retrain architecture=shufle_3x3", 2, "architecture='shufle_3x3' is no network of this space"),
        ("run spos-retrain architecture=shuffle_3x3 space=bits", 2, "2W2A or other bits"),
        ("run spos-retrain architecture=x0.2 space=channels", 2, "is no network of this space"),
        ("run cifar10-eval genotype=DARTS_V9", 1, "unknown genotype 'DARTS_V9': did you mean 'DARTS_V2'?"),
        ("run cifar10-search dataset=cifar10", 1, "CIFAR-10 is not in"),
        ("run spos-supernet dataset=imagenet", 1, "imagenet/train is missing"),
        ("run ptb-search corpus=ptb", 1, "ptb.train.txt does not exist"),
        ("run wikitext2-eval genotype=DARTS_V2_RNN corpus=wikitext-2", 1, "wiki.train.tokens does not exist"),
        ("run cifar10-eval genotype=DARTS_V2 weights=/no/such.pt", 1, "weights=/no/such.pt does not exist"),
        ("run cifar10-eval", 1, "is needed and not finished"),
        ("run cifar10-eval genotype=DARTS_V2 images=30", 2, "batch=32, but 30 images train"),
        ("run cifar10-search images=60", 2, "batch=32, but 30 images train"),
        ("run spos-correlation benchmark=nas-bench-macro --with-needs", 1, "NAS-Bench-Macro needs"),
    ],
)
def test_what_cannot_run_is_refused_before_papermill_is_imported_and_leaves_no_folder(
    command, status, message, tmp_path
):
    script = (
        "import sys, time; from repro.cli import main; status = main(sys.argv[1:]); "
        "assert not {'papermill', 'nbformat', 'torch'} & set(sys.modules); assert time.process_time() < 1; "
        "sys.exit(status)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *command.split()], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr.count("Traceback")) == (status, 0), answer.stderr
    assert message in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_a_recipe_is_refused_as_early(tmp_path):
    from repro import recipe

    assert recipe.main(["cifar10-search", "dataset=cifar10"]) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run cifar10-search -p profile=paper", "profile is no parameter but an option: --profile paper"),
        ("run cifar10-search seeds=0,1", "seeds is no parameter but an option: --seeds 0,1"),
        ("run cifar10-search --proflie paper", "unknown argument '--proflie': did you mean '--profile'?"),
        ("status --profile papr", "'papr' is wrong: did you mean 'paper'?"),
        ("statsu", "'statsu' is wrong: did you mean 'status'?"),
        ("data fech ptb", "'fech' is wrong: did you mean 'fetch'?"),
        ("run cifar10-search --order 1", "--order is no option but a parameter: order=1"),
        ("run cifar10-search --epochs=3", "--epochs=3 is no option but a parameter: epochs=3"),
        ("run cifar10-search batch-size=3", "unknown parameter 'batch-size': did you mean 'batch'?"),
        ("run cifar10-search seed=3 seed=4", "seed is given twice, as 3 and as 4"),
        ("run cifar10-search ordr=1", "unknown parameter 'ordr': did you mean 'order'?"),
        ("remove bilevel-toy/smoke", "no run bilevel-toy/smoke"),
    ],
)
def test_a_slip_is_answered_with_the_nearest_right_word(command, message, capsys):
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", ["order=1 seed=3", "-p order=1 seed=3", "--profile smoke order=1 -p seed=3"])
def test_parameters_need_no_option(words, capsys, tmp_path):
    assert main(["run", "cifar10-search", *words.split(), "--dry-run"]) == 0
    assert capsys.readouterr().out == "would run cifar10-search/smoke,seed=3,order=1\n"
    assert not (tmp_path / "runs").exists()


def test_only_what_a_refused_run_needs_is_not_made():
    jobs = runner.plan([(find("spos-correlation"), {"benchmark": "nas-bench-macro"})], "smoke", with_needs=True)
    runner.refuse(jobs)
    assert [job.outcome for job in jobs] == ["skipped", "failed"]
    request = (find("spos-supernet"), dict(jobs[0].overrides))
    jobs = runner.plan([*[(job.experiment, job.overrides) for job in jobs[1:]], request], "smoke", with_needs=True)
    runner.refuse(jobs)
    assert [job.outcome for job in jobs] == ["", "failed"]


def test_the_module_and_the_version():
    for command in (["--version"], ["list"]):
        answer = subprocess.run([sys.executable, "-m", "repro", *command], capture_output=True, text=True, check=True)
        assert command == ["list"] or answer.stdout == f"repro {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_that_are_read(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    examples = capsys.readouterr().out.split("examples:\n")[1].splitlines()
    assert examples
    for example in examples:
        assert arguments.parse(example.split()[1:]).command == command


@pytest.mark.parametrize("command", ["list", "show cifar10-search", "status", "plan", "claims"])
def test_json_holds_what_the_lines_say(command, capsys):
    finished()
    assert main([*command.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    if command == "list":
        assert [each["name"] for each in found] == [*EXPERIMENTS]
        assert found[0]["runs"] == {"done": 1}
    elif command.startswith("show"):
        assert found["parameters"]["epochs"]["paper"] == 50
        assert found["parameters"]["epochs"]["smoke"] == 4
    elif command == "status":
        assert (found["runs"][0]["state"], found["runs"][0]["result"]["test_error"]) == ("done", 2.7634)
    elif command == "plan":
        assert len(found["runs"]) == len(runner.plan(profiles.plan("smoke"), "smoke", True))
    else:
        assert {"D1", "S1"} <= {row["claim"] for row in found}


def test_status_shows_results(capsys):
    finished()
    main(["status"])
    assert "took 0 s, test_error 2.763\n" in capsys.readouterr().out


def test_runs_are_removed_by_name_and_never_others(tmp_path, capsys):
    run, other = finished(), finished(steps=4)
    assert main(["remove", "bilevel-toy/smoke", "bilevel-toy/nothing"]) == 2
    assert main(["remove", str(tmp_path)]) == 2
    assert run.path.exists()
    with lock(run.path / ".lock", wait=0.0):
        assert main(["remove", "bilevel-toy/smoke"]) == 1
    assert "is in use" in capsys.readouterr().err
    (run.path / "params.json").unlink()  # damaged, and a run all the same
    assert main(["remove", "bilevel-toy/smoke"]) == 0
    assert (run.path.exists(), other.path.exists()) == (False, True)
    assert removal.removable(str(other.path)) == other.path


def test_completion_is_a_script_that_knows_names_options_and_parameters():
    script = completion.script("bash")
    ask = "\nCOMP_WORDS=({words}) COMP_CWORD={place}; _repro; echo ${{COMPREPLY[@]}}"
    for words, found in {
        "repro sta": "status",
        "repro run cifar10-sea": "cifar10-search",
        "repro run --dry": "--dry-run",
        "repro run --profile pap": "paper",
        "repro run cifar10-search -p ord": "order=",
        "repro data fe": "fetch",
    }.items():
        text = script + ask.format(words=words, place=len(words.split()) - 1)
        assert subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout == f"{found}\n"
    assert completion.script("zsh").startswith("autoload")


def test_the_hours_of_smoke_are_known():
    rest = [each for each in EXPERIMENTS.values() if not each.smoke_seconds]
    assert all(known.kind == "assumed" for each in rest for known in each.hours)  # their own steps are the whole run
    jobs = runner.plan([(find("cifar10-search"), {}), (find("cifar10-search"), {"epochs": 8})], "smoke", True)
    one, two = plan.estimates(jobs).values()
    assert (one.kind, two.hours) == ("shipped", 2 * one.hours)


def test_a_search_holds_its_cell_before_it_ends(monkeypatch):
    run = open_run(find("cifar10-search"), "smoke", {})
    seen = []
    monkeypatch.setattr(fit, "save", lambda *_: seen.append(run.load("genotype.json")))
    fit.fit(run, {}, 2, lambda epoch: {"genotype": {"epoch": epoch.index}})
    assert seen == [{"epoch": 0}, {"epoch": 1}]


def test_every_notebook_becomes_a_python_script():
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert nbformat.read(path, as_version=4).metadata.language_info.file_extension == ".py"


def test_without_notebooks_one_line_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(settings, "NOTEBOOKS", tmp_path / "notebooks")
    assert main(["run", "bilevel-toy"]) == 1
    assert "pip install -e ." in capsys.readouterr().err
    assert main(["report"]) == 1
    assert "pip install -e ." in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    monkeypatch.delenv("REPRO_RUNS")
    monkeypatch.chdir(tmp_path)
    assert settings.runs_folder() == tmp_path / "runs"  # not in site-packages


def test_tables_name_notebooks_and_not_pages_that_are_not_kept(tmp_path):
    numbers = pd.DataFrame({"id": ["a", "b"], "pages": [["notebooks/x,y=1.html", "notebooks/z.html"], float("nan")]})
    typeset.write(numbers, pd.DataFrame({"id": ["a", "b"]}), tmp_path / "table")
    assert pd.read_csv(tmp_path / "table.csv")["notebooks"][0] == "../notebooks/x,y=1.ipynb ../notebooks/z.ipynb"
    tables = settings.ROOT / "figures" / "tables"
    for path in tables.glob("*.csv"):
        for names in pd.read_csv(path).get("notebooks", pd.Series(dtype=object)).dropna():
            assert all((tables / name).exists() for name in names.split()), path


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (("File /", "home/ada/darts/repro/training/fit.py:20, in fit"), "File repro/training/fit.py:20, in fit"),
        (
            ('File "/', 'opt/conda/lib/python3.12/site-packages/torch/nn.py", line 3'),
            'File "site-packages/torch/nn.py", line 3',
        ),
        (("cannot read /", "Users/ada/data/x.npz: damaged"), "cannot read ~/data/x.npz: damaged"),
        (("see https:/", "/example.org/home/ada/repro/x.py"), "see https://example.org/home/ada/repro/x.py"),
    ],
)
def test_paths_of_another_machine_are_not_published(parts, told):
    assert pages.unplaced("".join(parts)) == told
