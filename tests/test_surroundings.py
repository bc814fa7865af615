"""What surrounds a run, and is none of its business: working directory, kernelspecs, settings, git, pipes, locks."""

import errno
import fcntl
import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import nbformat
import pytest
import torch

import repro
from repro.configs.registry import find
from repro.data import folders, text
from repro.data.loader import Loader, valid_transform
from repro.errors import ReproError, UsageError
from repro.execution import engine
from repro.report import figures_darts, pages, run_report, style
from repro.runs import provenance, run

ROOT = Path(repro.__file__).parent.parent


@pytest.mark.parametrize("inside", [True, False])
def test_a_kernel_has_the_starter_s_package_and_nobody_s_settings(inside, tmp_path, monkeypatch):
    """Started in its own checkout or in another, beside that, a foreign kernelspec, and start-up files that fail."""
    other = tmp_path / "checkout"
    for path, content in (
        (other / "repro" / "__init__.py", "raise SystemExit('another one')"),
        (tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json", json.dumps({"argv": ["/bin/false"], "env": {}})),
        (tmp_path / "ipython" / "profile_default" / "startup" / "first.py", "here = 'start-up file'"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    monkeypatch.chdir(ROOT if inside else other)
    monkeypatch.setenv("PYTHONPATH", str(other))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    source = "import repro, sys; print(repro.__file__, sys.executable, 'here' in globals())"
    cells = [nbformat.v4.new_code_cell("", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(source)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "source.ipynb")
    engine.execute(tmp_path / "source.ipynb", tmp_path / "target.ipynb", {}, {})
    output = nbformat.read(tmp_path / "target.ipynb", as_version=4).cells[-1].outputs[0].text
    assert output.split() == [repro.__file__, sys.executable, "False"]


def test_the_commit_is_the_package_s_own(tmp_path, monkeypatch):
    own = provenance._commit()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert provenance._commit() == own
    refusal = subprocess.CompletedProcess([], 128, "", "fatal: detected dubious ownership\nadd an exception")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refusal)
    said = "git refuses: fatal: detected dubious ownership add an exception"
    assert provenance._commit() == {"commit": None, "dirty": None, "refused": said}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in provenance._commit()["refused"]


def test_the_commit_of_a_copy_is_what_it_is_told_and_by_whom(tmp_path, monkeypatch):
    """Beside the package without its repository: by the environment, else by a file; the report says so."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.delenv("REPRO_COMMIT", raising=False)
    assert provenance._commit() == {"commit": None, "dirty": None}
    (tmp_path / "COMMIT").write_text(f"{'ab' * 20}\n")
    assert provenance._commit() == {"commit": "ab" * 20, "dirty": None, "told_by": "the file COMMIT"}
    monkeypatch.setenv("REPRO_COMMIT", "cd" * 20)
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    made = run.open_run(find("bilevel-toy"), "smoke", {})
    with made.session():
        pass
    monkeypatch.setenv("REPRO_COMMIT", "main")
    with made.session():
        pass
    held = provenance.read(made.path)
    assert held["sessions"][0]["told_by"] == "REPRO_COMMIT"
    assert held["told_by"] == ""
    assert held["refused"].startswith("REPRO_COMMIT holds 'main', and a commit is 40 hexadecimal digits")
    assert f"{'cd' * 20}; unknown; as REPRO_COMMIT said; REPRO_COMMIT holds" in run_report.sources(made).to_string()
    (tmp_path / ".git").touch()  # a repository's own word counts alone
    assert provenance._commit()["commit"] is None


def test_figures_start_from_the_library_s_own_defaults(tmp_path):
    path = {"xi": 0.5, "alpha": [2.0, 1.5], "weight": [-2.0, 0.5], "fixed_point": 1.0}
    settings = {"lines.linewidth": 9, "axes.labelpad": 30, "text.usetex": True, "savefig.facecolor": "red"}
    for name, user in (("plain", {}), ("user", settings)):
        with mpl.rc_context(user):
            style.save(figures_darts.bilevel_toy([path]), tmp_path / name, None)
    for extension in ("svg", "pdf", "png"):
        assert (tmp_path / f"plain.{extension}").read_bytes() == (tmp_path / f"user.{extension}").read_bytes()


def test_a_backend_that_there_is_not_is_not_asked_for():
    script = "from repro.cli import main; assert main(['list']) == 0; import repro.report.formulas"
    environment = {**os.environ, "MPLBACKEND": "Qt4Agg"}  # of an older Matplotlib
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)


def test_a_corpus_in_another_order_is_not_the_released_one(tmp_path, monkeypatch, capsys):
    lines = b"a b\nb a\na a\n"
    files = tuple(f"mine/{part}.txt" for part in text.PARTS)
    source = text.ReleasedCorpus(files, (9, 9, 9), 3, (text._md5(lines),) * 3, ())
    monkeypatch.setitem(text.SOURCES, "mine", source)
    monkeypatch.setattr(text, "NAMES", (*text.NAMES, "mine"))
    monkeypatch.setenv("REPRO_DATA", str(tmp_path))
    (tmp_path / "mine").mkdir()
    for file in files:
        (tmp_path / file).write_bytes(lines)
    assert text.check("mine")
    (tmp_path / files[1]).write_bytes(b"b a\na b\na a\n")
    with pytest.raises(ReproError, match="mine/valid.txt is not the released one: its md5 is"):
        text.check("mine")
    text.load_corpus("mine")  # a run goes on with it
    assert "is not the released one (md5 " in capsys.readouterr().err


def test_a_file_system_without_locks_is_told_with_what_to_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(ReproError, match=r"cannot be locked \(No locks available\).* with flock, or name a runs folder"),
        run.lock(tmp_path / ".lock", wait=1.0),
    ):
        pass


def test_a_long_folder_of_temporary_files_is_refused(tmp_path, monkeypatch):
    part = folders.find(folders.pictures(tmp_path / "pictures"), 8).valid
    monkeypatch.setattr(tempfile, "tempdir", "/" + "long" * 20)
    options = {"seed": 0, "device": torch.device("cpu"), "shuffled": False, "skip": False}
    with pytest.raises(UsageError, match="TMPDIR=.* is too long for workers"):
        Loader(part, valid_transform(8, 8), 8, workers=1, **options)
    assert len(Loader(part, valid_transform(8, 8), 8, workers=0, **options)) == 6


def test_a_user_without_a_home_has_pages(monkeypatch):
    def unknown(_):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert pages.unplaced(f"{ROOT}/x") == "./x"


def test_a_closed_output_is_no_error():
    command = f"{sys.executable} -m repro.cli list >&-"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_a_closed_pipe_and_a_terminal_of_ascii_are_no_errors():
    command = f"{sys.executable} -m repro.cli list"
    for pipe, status in (("| head -1", 128 + 13), ("| cat", 0)):
        script = f"{command} {pipe}; exit ${{PIPESTATUS[0]}}"
        environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"}
        answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
        assert not answer.stderr
        assert answer.stdout
        assert answer.returncode in (status, 0)  # 0 where all of it was written before the pipe was closed
