"""Publish finished runs: small files in a folder of the repository, read beside a user's own by tables and claims.

A published run can be traced and made again: it is of clean commits, with complete provenance, on data that are here as
they were, and what it needs is published too. Checkpoints, locks and pictures stay behind, and no file names a machine.
"""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from repro.configs.profiles import profile
from repro.configs.registry import find
from repro.data import datasets, images, text
from repro.errors import ReproError, UsageError, line
from repro.execution import engine
from repro.files import as_json, make_folder, read_bytes, sha256, write_bytes
from repro.presence import COPIES
from repro.report import pages
from repro.results import compare, protocol
from repro.runs import failure, provenance
from repro.runs.merge import read_whole, refuse_odd_files
from repro.runs.run import Run, held_identity, places, published_run
from repro.settings import data_folder, published_folder, runs_folder

LIMIT = 25_000_000  # bytes of all published runs
FILES = ("*.json", "metrics.jsonl", "notebook.ipynb", failure.NAME, "*/*.json", "*/metrics.jsonl")
FACTS = {"python", "system", *provenance.PACKAGES}
RELEASED = {file: md5 for source in text.SOURCES.values() for file, md5 in zip(source.files, source.md5, strict=True)}

FOLDERS = "home|Users|root|mnt|media|opt|private|scratch|srv|tmp|var|work|workspace|Volumes"
PUBLIC = r"(?:(?:test\.)?pypi|files\.pythonhosted|download\.pytorch|conda\.anaconda)\.org(?![\w-]|\.\w)"
MACHINE = [  # each begins with a literal, which is what a search over all files is fast at
    rf"/(?<![\w.~$}}/-]/)(?:{FOLDERS})/[\w.$-]+",  # no part of a relative path or of an address
    r":[\\/]+Users[\\/]\w+",
    r"file:/+\w+",
    rf"--(?:extra-)?(?:index-url|find-links)[ =]+(?!https://{PUBLIC})\S+",
    rf"://(?!{PUBLIC})[\w.:-]*(?:artifact|conda|mirror|nexus|pypi|registry)[\w.:-]*",
    rf"://(?!{PUBLIC})[\w.:/-]+/simple\b",
    r"://[\w.-]+\.(?:corp|internal|intranet|lan|local)\b",
]
HOST = rf"process \d+ on \S+|(?:@|://){re.escape(platform.node() or 'localhost')}\b"


class Outcome(NamedTuple):
    """What became of one run: `published`, `there already` or `refused`; and why, or how many bytes it takes."""

    name: str
    word: str
    why: str = ""


def publish(names: Sequence[str], one: Callable[[Run], Outcome] | None = None) -> Iterator[Outcome]:
    """Publish runs, each after what it needs; UsageError for a name that no run has, before anything is written.

    one: publishes a run (default: whole, as a finished one).
    """
    if not published_folder().is_dir():
        raise UsageError(f"{published_folder()} is no folder: publish in a checkout, or name one by REPRO_PUBLISHED")
    runs = []
    for path in [find_run(name) for name in names]:
        try:
            refuse_odd_files(path)
            runs.append(read_whole(path))
        except (ReproError, OSError, ValueError) as error:
            yield Outcome("/".join(path.parts[-2:]), "refused", line(error))
    for run in sorted(runs, key=lambda run: len([*compare.needs(run)])):
        try:
            yield (one or publish_run)(run)
        except (ReproError, OSError) as error:
            yield Outcome(run.name, "refused", line(error))


def find_run(name: str) -> Path:
    """Return the folder of a run by its name, as `repro status` prints it, or by its path."""
    paths = [Path(os.path.abspath(path)) for path in (runs_folder() / name, name)]
    if path := next((path for path in paths if (path / "params.json").exists()), None):
        return path
    raise UsageError(f"no run {name}: expected EXPERIMENT/NAME, as repro status prints it, or the path of its folder")


def publish_run(run: Run) -> Outcome:
    """Publish a finished run; ReproError says why it cannot be."""
    check(run)
    files = contents(run)
    refuse_machines(files)
    place = _place(run)
    if there := places(place.parent).get(held_identity(run.path)):
        held = {name: read_bytes(there / name) for name in _names(there)}
        if other := [name for name in sorted({*files, *held}) if files.get(name) != held.get(name)]:
            raise ReproError(f"it is published already, with another {other[0]}: delete {there} to replace it")
        return Outcome(run.name, "there already")
    if place.exists():
        raise ReproError(f"{place} holds a run of other values: delete it, or keep it and do without this one")
    check_data(run)
    if missing := next((each for each in find(run.experiment).needs(run.params) if not _is_there(each, run)), None):
        raise ReproError(f"it needs {missing}, which is not published: publish that too")
    return Outcome(run.name, "published", write(files, place))


def _place(run: Run) -> Path:
    return published_folder() / run.experiment / run.path.name


def _is_there(reference: Any, run: Run) -> bool:
    return published_run(reference, run.profile) is not None


def check(run: Run) -> None:
    """Raise ReproError if a run cannot be published, as far as that shows without the data."""
    diverged = failure.diverged(run.path)
    if run.result is None and not diverged:
        raise ReproError("it is not finished: the same repro run goes on with it")
    if not diverged and not engine.executed(run.path / "notebook.ipynb"):
        raise ReproError("its notebook was not executed to the end: the same repro run does that")
    if profile(run.profile).first_look:
        raise ReproError("runs of smoke show that the path works, and are no results: take another profile")
    check_provenance(run)


def check_provenance(run: Run) -> None:
    """Raise ReproError if it does not show what a run was made from, or that was no clean commit or other data."""
    facts, about_data = provenance.read(run.path), bool(protocol.data(run))
    lacking = [name for name in ("sessions", *(("device", "data") if about_data else ())) if not facts.get(name)]
    lacking += sorted(FACTS - {*facts.get("versions", {})})
    commits = provenance.commits(facts)
    lacking += ["commit"] if "unknown" in commits else []
    if lacking:
        raise ReproError(
            f"its provenance.json lacks {', '.join(lacking)}: run it again, in a git checkout or with REPRO_COMMIT"
        )
    if changed := [commit[:10] for commit, dirty in commits.items() if dirty]:
        raise ReproError(f"it was made from a changed tree (of {', '.join(changed)}): commit the changes, run it again")
    for name, checksum in facts.get("data", {}).items():
        if not re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", str(checksum)) or RELEASED.get(name, checksum) != checksum:
            expected = f", released is {RELEASED[name]}" if name in RELEASED else ""
            raise ReproError(f"{name} is not what it claims to be: its checksum is {checksum}{expected}")


def check_data(run: Run) -> None:
    """Raise ReproError if data of a run are not those of the data folder, which are checked as they are loaded.

    A copy whose difference from the released data is known passes, since it is said with every run on it.
    """
    for name, checksum in provenance.read(run.path).get("data", {}).items():
        if checksum in COPIES and _loaded(name) == checksum:
            continue
        if (here := _checksums(name).get(name)) != checksum:
            told = f"here it is {here}" if here else "here there is none"
            raise ReproError(f"its {name} is not that of the data folder: the checksum was {checksum}, {told}")


@cache
def _loaded(name: str) -> str:
    """Return the checksum of images as they are in the data folder, released or not."""
    return images.load_images(name).checksum


@cache
def _checksums(name: str) -> Mapping[str, str]:
    """Return the checksums of the data set that provenance calls so, or of which it names a file, or of that file."""
    known, file = {"pydoc_data.topics": "english"}.get(name, name.split("/")[0]), data_folder() / name
    if known not in datasets.DATASETS:
        return {name: sha256(file)} if file.is_file() else {}
    found = datasets.DATASETS[known].load()
    return found if isinstance(found, Mapping) else {known: str(found)}


def contents(run: Run) -> dict[str, bytes]:
    """Return the files of a run that are published, by their places in its folder, without paths of this machine.

    Of one that diverged, neither the notebook nor the traceback: that it did is what counts.
    """
    folders, files = _stand_ins(run), {name: read_bytes(run.path / name) for name in _names(run.path)}
    if failure.diverged(run.path):
        told = {failure.NAME: b"".join(files[failure.NAME].splitlines(keepends=True)[:2])}
        files.pop("notebook.ipynb", None)
    else:
        notebook = pages.stripped(engine.read(run.path / "notebook.ipynb"), folders)
        notebook = pages.moved(notebook, _place(run))
        told = {"notebook.ipynb": nbformat.writes(notebook).encode()}
    return files | told | {"provenance.json": told_provenance(run)}


def _stand_ins(run: Run) -> dict[Path, str]:
    """Return what stands in place of the folders of a run's machine."""
    store = run.path.parent.parent
    return {store: "runs"} | ({store.parent: "."} if (store.parent / "notebooks").is_dir() else {})


def told_provenance(run: Run) -> bytes:
    """Return `provenance.json` of a run without paths of this machine."""
    facts = provenance.read(run.path)
    for session in facts["sessions"]:
        session["command"] = pages.unplaced(session["command"], _stand_ins(run))
    return as_json(facts)


def _names(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for pattern in FILES for file in path.glob(pattern))


def machines_in(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield what in the files of a run names one machine, with its place; base64 of pictures aside."""
    for name, content in files.items():
        for number, words in enumerate(content.decode(errors="replace").splitlines(), 1):
            if not re.match(r'\s*"image/\w+": "', words):
                yield from (f"{name}, line {number}: {word}" for word in [*machines(words), *re.findall(HOST, words)])


def machines(words: str) -> list[str]:
    """Return what in a text names one machine: folders of a user, and hosts that are not public, of registries say."""
    words = words.replace("\\n", "\n")  # as JSON escapes it
    return [match.group() for pattern in MACHINE for match in re.finditer(pattern, words)]


def size() -> int:
    """Return the bytes of all files in the folder of published runs."""
    return sum(file.stat().st_size for file in published_folder().rglob("*") if file.is_file())


def refuse_machines(files: Mapping[str, bytes]) -> None:
    """Raise ReproError if files name one machine."""
    if named := next(machines_in(files), None):
        raise ReproError(f"it names the machine it was made on: {named}")


def write(files: Mapping[str, bytes], place: Path) -> str:
    """Write a run aside, move it into its place whole, and return its size; ReproError if there is no room.

    What was there before is given up only then.
    """
    own, held = sum(map(len, files.values())), size()
    if own + held > LIMIT:
        raise ReproError(f"it takes {own / 1e6:.2f} MB beside {held / 1e6:.2f} MB, at most {LIMIT / 1e6:g} MB in all")
    with tempfile.TemporaryDirectory(dir=published_folder(), prefix=".new") as aside:
        for name, content in files.items():
            write_bytes(make_folder((Path(aside) / "run" / name).parent) / Path(name).name, content)
        if place.exists():
            os.rename(place, Path(aside) / "before")
        os.rename(Path(aside) / "run", make_folder(place.parent) / place.name)
    return f"{own / 1e3:.0f} kB"
