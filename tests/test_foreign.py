"""Others' runs: whatever is wrong within one is named and the rest is shown, and nothing that one holds is executed."""

import itertools
import re

import foreign
import nbformat
import pytest

from repro import gallery, report, snapshot, states
from repro.results import compare

WRONG = (None, "text", -1, 1e300, [], {}, True, [[1]], {"a": None}, 10**400)
CONTENTS = (b"", b'{"a": [', b"[]\n", b"3\n", b"\x80\x00", b"NaN\n", b'{"a": "\\ud800"}\n', b"[" * 100_000)


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "data"))


def damaged(runs, names, depth):
    """Make damaged copies of runs: each file missing and of other contents, each entry missing and of other values.

    names: of the files. Returns the copies, and for each the file, where its damage must be told.
    """
    numbers, values, found = itertools.count(), itertools.cycle(WRONG), {}

    def copy(run, name, tell=True):
        path = foreign.copied(run, next(numbers))
        found[path] = name if tell else ""
        return path / name

    for run, name in ((run, name) for run in runs for name in foreign.files(run) if re.search(names, name)):
        copy(run, name, name not in ("result.json", "provenance.json")).unlink()  # there may be none yet
        for content in CONTENTS:
            copy(run, name).write_bytes(content)
        for place in foreign.places(foreign.read(run / name), depth):
            for change in (foreign.drop, foreign.put(next(values)), foreign.put(next(values))):
                file = copy(run, name, False)
                foreign.write(file, foreign.changed(foreign.read(file), place, change))
    return found


def name(path):
    return "/".join(path.parts[-2:])


def test_whatever_is_wrong_in_what_the_tables_read_is_named_and_the_rest_is_shown(monkeypatch, tmp_path):
    runs = foreign.whole(tmp_path / "runs")
    found = damaged(runs, "^(params|provenance|result)", 3)
    monkeypatch.setattr(gallery, "_show", lambda *_: None)
    with snapshot.taken():
        foreign.made(monkeypatch, tmp_path / "report")
        counted, overview = states.survey().runs, compare.overview().set_index("run")["state"]
    assert len(found) > 1000
    assert {run.path for run in counted} >= {*runs}
    assert {overview[name(run)] for run in runs} == {"done"}
    assert {name(path) for path in found} <= {*overview.index}
    untold = {name(path): file for path, file in found.items() if file and overview[name(path)] == "done"}
    assert not untold


@pytest.mark.parametrize(
    ("experiment", "names", "draw"),
    [
        ("bilevel-toy", "trajectories", gallery.toy),
        ("cifar10-eval", "metrics", gallery.curves),
        ("cifar10-search", "metrics", gallery.alphas),
        ("ptb-search", "metrics", gallery.films),
        ("cifar10-progress", "snapshots|result", gallery.progress),
        ("cifar10-select", "result", gallery.cells),
        ("spos-blocks", "evolution", gallery.candidates),
        ("spos-correlation", "networks|result", gallery.rankings),
    ],
)
def test_whatever_is_wrong_in_what_is_drawn_is_named_and_the_rest_is_drawn(
    experiment, names, draw, monkeypatch, tmp_path
):
    (run,) = [run for run in foreign.whole(tmp_path / "runs") if run.parent.name == experiment]
    found = damaged([run], names, 2)
    shown = foreign.shown(monkeypatch)
    with snapshot.taken():
        gallery.each(experiment, "smoke", draw, tmp_path / "report")
        overview = compare.overview().set_index("run")["state"]
    text = foreign.said(shown).replace("\\", "")
    reasons = dict(re.findall(r"^(\S+) cannot be shown: (.+)$", text, re.MULTILINE))
    assert run.name not in reasons
    assert [*(tmp_path / "report").rglob("*.*")]
    told = {*reasons, *(path.name for path in found if overview[name(path)].startswith(("damaged", "not counted")))}
    assert not {path.name for path, file in found.items() if file} - told
    assert "together" not in text


def test_a_notebook_that_cannot_be_read_is_a_page_that_says_so(tmp_path):
    run = next(run for run in foreign.whole(tmp_path / "runs") if run.parent.name == "ptb-eval")
    cell = nbformat.v4.new_markdown_cell("$\\nothing$ and $\\frac{$")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), run / "notebook.ipynb")
    held = foreign.read(run / "notebook.ipynb")
    for number, content in enumerate((None, *CONTENTS)):
        if content is not None:
            (run / "notebook.ipynb").write_bytes(content)
        with snapshot.taken():
            (opened,) = [each for each in states.survey().runs if each.path == run]
            page, source = report.publish(opened, tmp_path / "none", tmp_path / f"{number}")
        text = (tmp_path / f"{number}" / page).read_text()
        assert ("its executed notebook cannot be shown" in text) == (content is not None)
        assert nbformat.read(tmp_path / f"{number}" / source, as_version=4).cells
    assert held["cells"]
