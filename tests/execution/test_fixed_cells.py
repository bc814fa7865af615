"""What stands alike in notebooks: the cell that installs the package, the parameters cell, badges."""

import json
import subprocess
import sys

import pytest

from repro.configs.registry import EXPERIMENTS
from repro.execution import fixed_cells, listing
from repro.settings import NOTEBOOKS, ROOT

HERE = fixed_cells.address(ROOT / "pyproject.toml")
HOME = "https://github.com/someone/reproduction"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_has_the_cells_that_make_cells_writes(path):
    text = path.read_text()
    assert fixed_cells.rewritten(text, path.name, HERE) == text
    first = next(cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    assert "".join(first["source"]).splitlines() == fixed_cells.install(HERE)


def test_the_readme_has_a_badge_where_the_repository_has_an_address():
    text = (ROOT / "README.md").read_text()
    assert fixed_cells.badged(text, fixed_cells.badges(HERE, "00_bilevel_toy.ipynb")) == text
    assert ("mybinder.org" in text) == bool(HERE)


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        (f'Repository = "{HOME}"', HOME),
        (f'"Paper" = "https://arxiv.org/abs/1"\nsource = "{HOME}/"', HOME),
        ('"The authors\' code" = "https://github.com/quark0/darts"', ""),
        ("", ""),
    ],
)
def test_the_address_is_the_one_that_the_project_gives(urls, found, tmp_path):
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[project]\nname = "repro"\n[project.urls]\n{urls}\n' if urls else '[project]\nname = "repro"\n')
    assert fixed_cells.address(path) == found


def test_badges_lead_to_the_notebook_and_are_put_there_once(tmp_path):
    line = fixed_cells.badges(HOME, "a.ipynb")
    assert "(https://colab.research.google.com/github/someone/reproduction/blob/HEAD/notebooks/a.ipynb)" in line
    assert "(https://mybinder.org/v2/gh/someone/reproduction/HEAD?urlpath=lab/tree/notebooks/a.ipynb)" in line
    plain = "# Title\n\n**Reproduces** it.\n"
    badged = fixed_cells.badged(plain, line)
    assert badged == f"# Title\n\n{line}\n\n**Reproduces** it.\n"
    assert fixed_cells.badged(badged, line) == badged
    assert fixed_cells.badged(badged, "") == plain
    assert not fixed_cells.badges("", "a.ipynb") + fixed_cells.badges("https://example.org/x/y", "a.ipynb")


def test_an_address_reaches_readme_and_notebooks(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    name = "00_bilevel_toy.ipynb"
    (tmp_path / "notebooks" / name).write_text((NOTEBOOKS / name).read_text())
    (tmp_path / "README.md").write_text("# Title\n\nText.\n")
    (tmp_path / "pyproject.toml").write_text(f'[project]\n[project.urls]\nRepository = "{HOME}"\n')
    fixed_cells.main(tmp_path)
    line = fixed_cells.badges(HOME, name)
    assert (tmp_path / "README.md").read_text() == f"# Title\n\n{line}\n\nText.\n"
    text = (tmp_path / "notebooks" / name).read_text()
    opening, code = json.loads(text)["cells"][:2]
    assert line in "".join(opening["source"])
    assert f"git+{HOME}" in "".join(code["source"])


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The Python of a new environment, which has no package at all."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    return lambda lines, **names: subprocess.run(
        [folder / "env" / "bin" / "python", "-c", "\n".join(lines)],
        env={"PYTHONPATH": "", **names},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_a_new_environment_is_told_how_to_install_or_installs(fresh, tmp_path):
    told = fresh(fixed_cells.install(""))
    assert (told.returncode, told.stderr.splitlines()) == (1, [fixed_cells.MISSING])
    (tmp_path / "pip.py").write_text("import sys; print(*sys.argv[1:])")
    asked = fresh(fixed_cells.install(HOME), PYTHONPATH=str(tmp_path))
    assert (asked.returncode, asked.stdout) == (0, f"install --quiet git+{HOME}\n")
    there = fresh(fixed_cells.install(HOME), PYTHONPATH=str(ROOT))
    assert (there.returncode, there.stdout + there.stderr) == (0, "")


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=lambda experiment: experiment.name)
def test_a_cell_lists_first_what_the_fewest_others_have_and_last_what_makes_no_other_run(experiment):
    _, *lines = listing.cell(experiment)
    names = [line.split(" = ")[0] for line in lines]
    kinds = experiment.parameters.kinds()
    place = names.index(listing.MACHINE) if listing.MACHINE in names else len(names)
    assert {*names[:place]} == {*kinds}
    assert {*names[place + 1 :]} == {*experiment.parameters().values()} - {*kinds}
    others = [each.parameters().values() for each in EXPERIMENTS.values()]
    shared = [sum(name in values for values in others) for name in names[:place]]
    assert shared[0] <= shared[-1]
