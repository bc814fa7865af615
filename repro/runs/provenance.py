"""Where a run's numbers come from: commit, versions, device, data checksums, and every session that worked on it."""

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from repro.errors import ReproError, is_number, line
from repro.files import read_bytes, read_object, write_json
from repro.runs.snapshot import once
from repro.settings import ROOT

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "papermill", "nbconvert")
KINDS = {
    "commit": str | None,
    "told_by": str,
    "device": str,
    "precision": str,
    "versions": dict,
    "data": dict,
    "memory": dict,
}
SAID = ("command", "start")  # of a session, beside its seconds
_started: dict[Path, tuple[float, int]] = {}  # when, and which session on the run it is


def begin(path: Path) -> None:
    """Open a new session in provenance.json of the run directory `path`."""
    held = read(path)
    session = {"command": command(), "start": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": 0.0}
    code = {**{name: "" for name in ("refused", "told_by") if name in held}, **_commit()}
    before = {name: held[name] for name in ("commit", "dirty") if name in held}  # of older sessions, which do not say
    sessions = [*({**before, **each} for each in held.get("sessions", [])), {**session, **code}]
    _started[path] = time.monotonic(), len(sessions)
    write_json(path / "provenance.json", {**held, **code, "versions": _versions(), "sessions": sessions})


def command() -> str:
    """Return the command that makes this run: the user's where it started another process."""
    return os.environ.get("REPRO_COMMAND") or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def update(path: Path, **facts: Any) -> None:
    """Add facts and the seconds so far of the session open on `path` or a folder above; nothing where none is open.

    Raises ReproError when another session has begun: so a process that was believed dead notices that the run goes on
    elsewhere, where machines share files and no locks.
    """
    root = next((folder for folder in (path, *path.parents) if folder in _started), None)
    if root is None:
        return
    if not (held := read(root)):  # someone has taken it away
        return begin(root)
    since, own = _started[root]
    if len(held["sessions"]) != own:
        since = held["sessions"][-1]["start"]
        raise ReproError(f"{root} is worked on by another process since {since}; this one ends")
    if "precision" in facts:
        before = held.get("precision", "").split(" and ")  # a session may compute otherwise than the one before
        facts["precision"] = " and ".join(sorted({*filter(None, before), facts["precision"]}))
    held |= {**facts, "memory": _memory(held.get("memory", {}))}
    held["sessions"][-1]["seconds"] = round(time.monotonic() - since, 1)
    write_json(root / "provenance.json", held)


def end(path: Path) -> None:
    """Close the session that is open on `path`."""
    try:
        update(path)
    finally:
        del _started[path]


def seconds(path: Path) -> float:
    """Return the seconds that all sessions on the run took together."""
    return sum(session["seconds"] for session in read(path).get("sessions", []))


def commits(held: dict[str, Any]) -> dict[str, bool]:
    """Return the commits of the sessions in a provenance.json, each with whether its tree had changes; or `unknown`.

    The last sessions of older runs, which do not say, are of the commit that the whole run has.
    """
    found: dict[str, bool] = {}
    for session in held.get("sessions") or [held]:
        code = {"commit": held.get("commit"), "dirty": held.get("dirty"), **session}
        commit = code["commit"] or "unknown"
        found[commit] = found.get(commit, False) or bool(code["dirty"])
    return found


def memory(path: Path) -> float | None:
    """Return the most memory that the run's process took in any session, of the GPU where it used one, in MiB."""
    held = read(path).get("memory", {})
    return held.get("gpu_mib") or held.get("mib")


def precision(*paths: Path) -> str:
    """Return in what the steps of runs computed, such as `bf16`; nothing where it was float32, as in the papers."""
    words = {word for path in paths for word in read(path).get("precision", "float32").split(" and ")}
    return " and ".join(sorted(words)) if words != {"float32"} else ""


def device(path: Path) -> str | None:
    """Return the device that made a run, and its precision where that is not the papers'."""
    return ", ".join(filter(None, [read(path).get("device"), precision(path)])) or None


@once
def read(path: Path) -> dict[str, Any]:
    """Return provenance.json of the run directory `path`; empty before its first session, ReproError if damaged."""
    file = path / "provenance.json"
    if not file.exists():
        return {}
    held = read_object(file, sessions=list, versions=dict)
    if wrong := _wrong(held):
        raise ReproError(f"{file} is damaged: {wrong!r} is of another kind; restore it or delete it")
    return held


def _wrong(held: dict[str, Any]) -> str:
    """Return the entry of provenance.json that does not hold what it should, empty where there is none."""
    if wrong := [name for name, kind in KINDS.items() if name in held and not isinstance(held[name], kind)]:
        return wrong[0]
    for name, is_right in (("versions", _is_text), ("data", _is_text), ("memory", is_number)):
        if not all(map(is_right, held.get(name, {}).values())):
            return name
    for each in held["sessions"]:
        if not (isinstance(each, dict) and is_number(each.get("seconds")) and all(_is_text(each.get(k)) for k in SAID)):
            return "sessions"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _memory(held: dict[str, float]) -> dict[str, float]:
    """Return the peaks of this process's memory, and of its GPU's, or those `held` where they are higher; in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    now = {"mib": round(peak)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        now["gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return {name: max(value, held.get(name, 0)) for name, value in now.items()}


def _git(*arguments: str) -> str | None:
    """Return what git says of the package's own checkout, or None outside one; ReproError where it refuses to.

    A repository that the environment names is another one, and whose files these are does not matter: they run.
    """
    if not (ROOT / ".git").exists():
        return None
    if shutil.which("git") is None:
        raise ReproError("git is not installed, or not on the PATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode:
        raise ReproError(f"git refuses: {line(answer.stderr)}")
    return answer.stdout.strip()


def _commit() -> dict[str, Any]:
    """Return the commit, whether files differ from it, and what git says where it refuses to tell them.

    Of a copy without its repository somebody else tells the commit: REPRO_COMMIT, or the file COMMIT; then by whom.
    """
    if not (ROOT / ".git").exists() and (told := _told_commit()):
        return told
    try:
        commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    except ReproError as error:
        return {"commit": None, "dirty": None, "refused": str(error)}
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _told_commit() -> dict[str, Any]:
    """Return the commit that the environment or a file names, and which of them; nothing where neither does."""
    file = ROOT / "COMMIT"
    in_file = read_bytes(file).decode(errors="replace") if file.exists() else ""
    given = {"REPRO_COMMIT": os.environ.get("REPRO_COMMIT", ""), "the file COMMIT": in_file}
    source, commit = next(((name, text.strip()) for name, text in given.items() if text.strip()), ("", ""))
    if source and not re.fullmatch("[0-9a-f]{40}", commit):
        refused = f"{source} holds {commit[:50]!r}, and a commit is 40 hexadecimal digits: as `git rev-parse HEAD` says"
        return {"commit": None, "dirty": None, "refused": refused}
    return {"commit": commit, "dirty": None, "told_by": source} if source else {}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found
