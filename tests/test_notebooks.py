"""The notebooks: each says what it reproduces and leads on, and Run All works in Jupyter without Papermill."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
import spoken
from finished import existing_runs
from nbclient import NotebookClient

from repro.configs.registry import EXPERIMENTS, find
from repro.errors import ReproError
from repro.execution import engine, listing, notebooks
from repro.runs.identity import resolve
from repro.settings import NOTEBOOKS

# What holds of a space whatever the run, in numbers that a run of some size has too
OF_THE_SPACE = {
    "A cell of this space has 4 nodes, 6 edges and 5 operations.",
    "21 layers, each an inverted residual of MobileNetV2 with expansion 3 or 6 and a depthwise 3x3, 5x5 or 7x7; one "
    "that does not change the shape may be skipped.",
    "In ProxylessNAS's space six layers change the shape and cannot be skipped, so that they have 6 here.",
}
OPENS = ("**Reproduces**", "**Since the papers**", "**Beyond**", "**From one paper to the other**")
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def opening(experiment):
    return nbformat.read(NOTEBOOKS / experiment.notebook, as_version=4).cells[0].source


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_notebook_opens_with_what_where_cost_and_result(experiment):
    text = opening(experiment)
    assert text.startswith(f"# {experiment.title}\n")
    claim = next(line for line in text.splitlines() if line.startswith(OPENS))
    assert re.search(r"(DARTS \(|SPOS \(|\(|, )(ICLR|ECCV) 20\d\d", claim)
    assert re.search(r"\*\*costs?( in the paper)?\*\*", claim)
    assert re.search(r"\*\*(in the papers?|known)\*\*", claim)


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_notebook_leads_to_its_input_and_to_the_next(experiment):
    links = re.findall(r"\]\(([^)]+\.ipynb)\)", opening(experiment))
    needed = {find(reference.experiment).notebook for reference in experiment.needs(experiment.parameters())}
    assert needed <= set(links)
    names = [path.name for path in PATHS]
    assert links[-1] == names[names.index(experiment.notebook) + 1]


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_notebook_leads_to_its_code(experiment):
    links = re.findall(r"\]\(\.\./(repro/[^)#]+\.py)\)", opening(experiment))
    assert links
    assert all((NOTEBOOKS.parent / link).is_file() for link in links)


@pytest.mark.parametrize("profile", ["smoke", "desk"])
@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_prose_states_no_number_of_another_size(experiment, profile):
    """Beside a small run nothing of the paper's size, but where it says so, and beside the paper's none of a small run.

    What the code makes of results is in test_golden.py.
    """
    text = spoken.prose(NOTEBOOKS / experiment.notebook)
    small, paper = resolve(experiment, profile, {}), experiment.parameters()
    told = [*spoken.strangers(text, small, paper), *spoken.strangers(text, paper, small)]
    assert not [sentence for sentence in told if sentence not in OF_THE_SPACE]


def test_the_report_states_no_number_of_images_of_its_own():
    """It shows runs of several sizes; its paragraphs that open with a paper's section are the paper's."""
    lines = spoken.prose(NOTEBOOKS / "90_report.ipynb").splitlines()
    own = [each for line in lines for each in spoken.sentences(line) if not re.match(r"(DARTS|SPOS)\b", each)]
    assert len(own) > 40
    assert not [sentence for sentence in own if any(number >= 1000 for number in spoken.numbers(sentence))]


def test_numbers_of_prose_are_seen():
    small, paper = (resolve(find("spos-blocks"), profile, {}) for profile in ("smoke", "paper"))
    seen = ["It keeps the best ten of all.", "50 candidates a generation.", "Each of 1,000 a"]
    assert spoken.strangers("\n".join(seen[:2]), small, paper) == seen[:2]
    assert not spoken.strangers(
        "\n".join([seen[2], "In the paper ten are kept.", "`ten=10`, Eq. 10, A.10"]), small, paper
    )
    digits, cifar = (resolve(find("cifar10-eval"), profile, {}) for profile in ("smoke", "paper"))
    assert spoken.strangers("# A cell on CIFAR-10", digits, cifar)
    assert not spoken.strangers("# A cell on CIFAR-10", cifar, digits)


def test_run_all_in_jupyter_needs_no_papermill(tmp_path, monkeypatch):
    """The kernel is started as JupyterLab does: in the notebooks' folder, with nothing injected."""
    for name in ("REPRO_RUN", "REPRO_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    path = NOTEBOOKS / "00_bilevel_toy.ipynb"
    notebook = engine.read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import sys; sys.modules['papermill'] = None"))
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}})
    client.execute(transport_encryption="auto")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    kinds = [kind for cell in code for output in cell.outputs for kind in output.get("data", {})]
    assert {"text/html", "image/png"} <= set(kinds)
    (run,) = existing_runs()
    assert run.name == "bilevel-toy/smoke"
    assert run.result["ends"][0]["alpha"] == pytest.approx(2, abs=0.01)
    assert (run.path / "figure2.svg").exists()


def ipython(**values):
    """The names that IPython holds after a parameters cell of these values."""
    return {**values, "In": ["", "import os", "\n".join(f"{name} = {value!r}" for name, value in values.items())]}


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_what_the_parameters_cell_says_is_what_runs(experiment, tmp_path, monkeypatch):
    """Whoever runs the notebook: a value of the paper, too, under another profile."""
    monkeypatch.delenv("REPRO_RUN", raising=False)
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    names, paper = experiment.parameters().values(), experiment.parameters()
    left = dict.fromkeys(names, ...)
    usual = notebooks.start(experiment.name, ipython(profile="smoke", **left))
    assert usual.params == resolve(experiment, "smoke", {})
    line, (told, folded) = listing.changed(usual), listing.shown(usual).split("<details>")
    for name, value in names.items():
        changed = name in usual.params.identity() and getattr(usual.params, name) != getattr(paper, name)
        assert changed == (f" {name}=" in line) == (f">{name}<" in told) == (f">{name}<" not in folded), (name, value)
    for name, value in experiment.sizes.get("smoke", {}).items():
        wanted = getattr(paper, name)
        asked = notebooks.start(experiment.name, ipython(profile="smoke", **{**left, name: names[name]}))
        assert getattr(asked.params, name) == wanted != value or wanted == value
        assert f">{name}<" in listing.shown(asked).partition("Changed by")[0] or wanted == value
    whole = notebooks.start(experiment.name, ipython(profile="smoke", **names))
    assert whole.params == paper
    assert notebooks.start(experiment.name, ipython(profile="paper", **left)).params == resolve(experiment, "paper", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": "smoke", "stepz": 3}, "unknown parameter 'stepz': did you mean 'steps'"),
        ({"profile": "smoke", "steps": "3"}, "steps='3' is wrong: steps takes a whole number"),
        ({"profile": "smok"}, "unknown profile 'smok': did you mean 'smoke'"),
        ({"steps": 3}, "does not set profile"),
    ],
)
def test_a_wrong_cell_is_refused(values, message, tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    with pytest.raises(ReproError, match=message):
        notebooks.start("bilevel-toy", ipython(**values))
    assert not list(tmp_path.iterdir())


def test_papermill_s_own_command_sets_what_runs(tmp_path):
    environment = {**os.environ, "REPRO_RUNS": str(tmp_path)}
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS / "00_bilevel_toy.ipynb"), str(tmp_path / "out.ipynb")]
    done = subprocess.run([*command, "-p", "steps", "300", "-y", "xi: [0.5]"], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    held = json.loads((tmp_path / "bilevel-toy" / "smoke,xi=0.5" / "params.json").read_text())
    assert held["parameters"]["xi"] == [0.5]
    wrong = subprocess.run([*command, "-p", "stepz", "3"], env=environment, capture_output=True, text=True)
    assert wrong.returncode
    assert "unknown parameter 'stepz': did you mean 'steps'" in wrong.stderr


def test_a_cell_that_was_edited_is_refused_by_repro_run(tmp_path):
    notebook = engine.read(NOTEBOOKS / "00_bilevel_toy.ipynb")
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = re.sub(r"(?m)^steps = \.\.\.", "steps = 5", cell.source)
    path = tmp_path / "edited.ipynb"
    nbformat.write(notebook, path)
    values = {"profile": "paper", **EXPERIMENTS["bilevel-toy"].parameters().values()}
    with pytest.raises(
        ReproError, match=r"parameters cell was edited \(steps=5 there, 300 asked\): give values with -p"
    ):
        engine.check(path, values)
    engine.check(path, {**values, "steps": 5})


ONE_LINE = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

shell = InteractiveShell.instance()
shell.history_manager.enabled = False
START = "from repro.execution import notebooks\\nrun = notebooks.start('bilevel-toy', globals())"
STOP = "from repro.execution import launcher\\ndef alone(run): raise KeyboardInterrupt\\nlauncher.alone = alone"
for cell in (f"profile = 'smoke'\\nsteps = '3'\\n{START}", "steps = 3", STOP, START, "notebooks.compute(run)", "1 / 0",
             "run.finish({'ends': 1})", "notebooks.compute(run)"):
    with capture_output() as said:
        result = shell.run_cell(cell)
    print(json.dumps([result.success, said.stdout, len(said.outputs)]))
"""


def test_a_cell_that_is_refused_or_interrupted_ends_in_one_line_and_what_is_done_is_read(tmp_path):
    environment = {**os.environ, "REPRO_RUNS": str(tmp_path / "runs"), "IPYTHONDIR": str(tmp_path)}
    environment.pop("REPRO_RUN", None)
    command = [sys.executable, "-c", ONE_LINE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    refused, _, _, started, interrupted, other, _, read = map(json.loads, done.stdout.splitlines())
    assert refused == [False, "steps='3' is wrong: steps takes a whole number\n", 0]
    assert started == [True, "", 1]
    assert interrupted == [False, f"{notebooks.INTERRUPTED}\n", 0]
    assert not other[0]
    assert "Traceback" in other[1]  # what is a fault of the code keeps its own
    assert read[1].startswith(f"read from {tmp_path / 'runs' / 'bilevel-toy' / 'smoke,steps=3'}, nothing was computed")
