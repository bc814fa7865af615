"""Checkpoints: the newest whole one counts, and a damaged one is noticed.

A checkpoint is written aside, synced and renamed; the one before it stays as `checkpoint.previous.pt`.
"""

import io
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from repro.errors import ReproError, unreadable
from repro.files import plain, write_bytes
from repro.presence import CHECKPOINTS
from repro.progress import note
from repro.runs.run import Run

NEWEST, PREVIOUS = CHECKPOINTS
KIND = "file of tensors"
ALONE = "save the tensors alone: torch.save(network.state_dict(), PATH)"


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors and plain values) as the newest checkpoint; ReproError on a full disk, nothing lost."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    fresh = folder / "checkpoint.next.pt"
    write_bytes(fresh, buffer.getvalue())
    if (folder / NEWEST).exists():
        os.replace(folder / NEWEST, folder / PREVIOUS)
    os.replace(fresh, folder / NEWEST)


def load(folder: Path) -> dict[str, Any] | None:
    """Return the newest whole checkpoint, on the CPU, or None; a damaged one is passed over with a note."""
    for name in (NEWEST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            return read(path)
        except ReproError as error:
            note(f"{error}; it is passed over")
    return None


def state_of(run: Run) -> dict[str, Any]:
    """Return the parts of the state that a finished run's checkpoint holds; ReproError where it is gone."""
    checkpoint = load(run.path)
    if checkpoint is None:
        raise ReproError(f"{run.name} has lost its checkpoint.pt: put it back, or delete the run and run it again")
    return checkpoint["state"]


def read(path: str | Path) -> Any:
    """Read the tensors and plain values of a file, to the CPU, and run nothing in it.

    ReproError says what the file is where it is damaged or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"), open(path, "rb", opener=plain) as file:  # they advise otherwise
            if zipfile.is_zipfile(file):  # files of today are: their CRC-32 sums notice any flipped bit
                with zipfile.ZipFile(file) as archive:
                    refuse_bomb(file, archive)
                    if archive.testzip() is not None:
                        raise zipfile.BadZipFile
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        foreign = f"it is a pickle that names {named[1]}, and so could run code; {ALONE}" if named else ""
        what = foreign or unreadable(error, KIND)
    except Exception as error:  # of many kinds: file, zip, zlib, header, value
        what = unreadable(error, KIND)
    raise ReproError(f"cannot read {path}: {what}; accepted is what torch.save makes of a state dict or plain values")


def of_run(path: str | Path) -> dict[str, Any] | None:
    """Return the parts of the state that a run's checkpoint holds; None where `path` is a file of another kind.

    path: the run's folder, or the checkpoint in it. ReproError where a folder holds none.
    """
    path = Path(path)
    folder = path.parent if path.name == NEWEST and (path.parent / "params.json").exists() else path
    if not folder.is_dir():
        return None
    checkpoint = load(folder)
    if checkpoint is None:
        raise ReproError(f"{path} holds no checkpoint: name a run's folder, or a checkpoint of the released code")
    return checkpoint["state"]


def fill(network: nn.Module, path: str, released: Callable[[Any, Mapping[str, Tensor]], None]) -> dict[str, Any] | None:
    """Give `network` the weights of a run or of a state dict, by `released` where its names are the authors' own.

    Return `of_run(path)`. ReproError where the weights are another network's.
    """
    state = of_run(path)
    weights = read_state_dict(path) if state is None else state["network"]
    if state is None and weights.keys() != network.state_dict().keys():
        released(network, weights)
    else:
        with fitting(path):
            network.load_state_dict(weights)
    return state


@contextmanager
def fitting(
    path: str | Path, what: str = "is of another network", advice: str = "give the parameters of its run"
) -> Iterator[None]:
    """Say in one line that the state of a run at `path` does not fit."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2].strip()
        raise ReproError(f"{path} {what} ({reason}): {advice}") from error


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint of tensors, on its own or under "state_dict"; ReproError if it is anything else."""
    state = read(path)
    if isinstance(state, Mapping):
        state = state.get("state_dict", state)
    if isinstance(state, Mapping):
        foreign = [pair for pair in state.items() if not (isinstance(pair[0], str) and isinstance(pair[1], Tensor))]
    else:
        foreign = [("its content", state)]
    if foreign:
        name, value = foreign[0]
        what = f"{name!r} is of the class {type(value).__name__}"
        raise ReproError(f"{path} holds no state dict, a dictionary of tensors: {what}; {ALONE}")
    return {name.removeprefix("module."): value for name, value in state.items()}


def refuse_other(
    theirs: Mapping[str, Tensor],
    ours: Mapping[str, Tensor],
    of: str,
    own: str,
    shape: Callable[[Tensor], tuple[int, ...]] = lambda tensor: tuple(tensor.shape),
) -> None:
    """ReproError unless a released state dict has the tensors of a network, by names and shapes.

    of: what it may be of instead; own: what of it is to be used.
    """
    for problem, names in (("lacks", ours.keys() - theirs.keys()), ("has in excess", theirs.keys() - ours.keys())):
        if names:
            raise ReproError(f"the checkpoint {problem} {min(names)} and {len(names) - 1} more: it is of {of}")
    for name, tensor in ours.items():
        held, expected = shape(theirs[name]), shape(tensor)
        if held != expected:
            raise ReproError(f"the checkpoint's {name} has shape {held}, the network's {expected}: use its own {own}")


def refuse_bomb(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile where the members of a file of tensors claim more bytes than it has: PyTorch compresses none."""
    if sum(member.file_size for member in archive.infolist()) > os.fstat(file.fileno()).st_size:
        raise zipfile.BadZipFile
