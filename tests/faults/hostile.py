"""Bad input for everything: texts, values, and files that are cut, flipped, of another kind, or programs."""

import io
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

# Each would make the file {sentinel}, if anything ran it
CODE = (
    "__import__('pathlib').Path('{sentinel}').touch()",
    "'+__import__('os').system('touch {sentinel}')+'",
    '"); open("{sentinel}", "w"); ("',
    "1\nopen('{sentinel}', 'w')",
    "$(touch {sentinel})",
    "`touch {sentinel}`",
    "; touch {sentinel} #",
    "\\\"); open('{sentinel}', 'w') #",
    "run:__import__('pathlib').Path('{sentinel}').touch()",
    "run:bilevel-toy/steps=__import__('os').system('touch {sentinel}')",
)
TEXTS = (
    *("", " ", "\t", "\n", "\0", "\x1b[2J", "\r", "\u2028", "\udcff", "\ufeff", "a" * 5000, "é" * 300),
    *"""' " \\ \\n {} {x} {profile.__class__} %s %(x)s ../../.. /dev/null / . ~ * a/b None null [] () true True - --all
        run: run:/ run:x run:bilevel-toy/ run:bilevel-toy/x run:bilevel-toy/steps run:bilevel-toy/steps=
        run:cifar10-search/a=(b lambda:0 DARTS_V3 darts_v2 s3://bucket/x http://localhost/x""".split(),  # noqa: SIM905
    *("run:" + "(" * 500, "run:cifar10-select/search=" * 300),
)
NUMBERS = (
    *"""nan inf -inf 1e999 -1e999 -1 -0.0 0 -0 0.5 1.5 1e3 0x10 0b1 1_0 _1 1e-400 1e308 -1e308 --1 +-1 1, , ,, 1,,2
        1,x 1;2 (1) [1] １２ ٣ ½ 1j 2**8 1e 1. . true no None""".split(),  # noqa: SIM905
    *("1 2", "9" * 18, "9" * 30, "9" * 400, "9" * 5000, "-" + "9" * 30),
)


def code(sentinel: Path) -> list[str]:
    """Texts that are code."""
    return [text.replace("{sentinel}", str(sentinel)) for text in CODE]


def texts(sentinel: Path) -> st.SearchStrategy[str]:
    """Texts as nobody should give them on a command line."""
    letters = st.text(st.characters(exclude_categories=()), max_size=30)
    known = st.sampled_from([*TEXTS, *NUMBERS, *code(sentinel)])
    return known | letters | st.tuples(known, letters).map("".join) | st.floats().map(str) | st.integers().map(str)


def values(sentinel: Path) -> st.SearchStrategy[Any]:
    """Values of every type that JSON or Python has."""
    leaf = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.just(10**400)
        | st.floats()
        | texts(sentinel)
        | st.binary(max_size=9)
    )
    return leaf | st.lists(leaf, max_size=3) | st.dictionaries(texts(sentinel), leaf, max_size=2) | st.just(object())


def wrong(hint: Any, bounds: dict[str, float], sentinel: Path) -> st.SearchStrategy[str]:
    """Texts that a parameter of the type `hint` with these bounds mostly cannot be."""
    if get_origin(hint) is Literal:
        return st.sampled_from([f"{choice} " for choice in get_args(hint)]) | texts(sentinel)
    beside = [str(bound + step) for bound in bounds.values() for step in (-1, -1e-9, 0, 1e-9, 1)]
    numbers = st.sampled_from([*NUMBERS, *beside]) | st.floats().map(str) | st.integers().map(str)
    return texts(sentinel) if hint is str else numbers | texts(sentinel)


# ---- files


KINDS = ("cut", "cut", "flipped", "flipped", "flipped", "hole", "mixed", "other kind", "pickle", "folder")


class Malice:
    """An object whose pickle runs a command when it is read."""

    def __init__(self, sentinel: Path) -> None:
        self.command = f"open({str(sentinel)!r}, 'w')"

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return eval, (self.command,)


def malicious(sentinel: Path) -> list[bytes]:
    """Programs in the forms of pickle that readers of data know: bare, in PyTorch's old stream, archive and .npz."""
    import numpy as np
    import torch

    bare = [pickle.dumps(Malice(sentinel), protocol) for protocol in (0, 2, 4)]
    old, new, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"epochs": Malice(sentinel)}, old, _use_new_zipfile_serialization=False)
    torch.save({"epochs": Malice(sentinel), "state": {}}, new)
    held = np.empty(1, dtype=object)
    held[0] = Malice(sentinel)
    np.savez(array, x_train=held, y_train=held, x_test=held, y_test=held, config=held)
    return [*bare, old.getvalue(), new.getvalue(), array.getvalue()]


def foreign() -> list[bytes]:
    """Whole files of other kinds."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x", "x")
    texts = b"""[] {} null 3 "x" [[[]]] NaN {"a":1} {"experiment":[]} {"cells":3} <html></html> {"nbformat":4}
        {"cells":[{}],"metadata":{},"nbformat":4} {"space":{"x":1},"evolution":[9],"random":[]} [0,[1]]""".split()
    lines = [text + b"\n" for text in texts]
    bytes_ = [b"", b"\0", b"\n", b"x", b"\xff\xfe\0", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x02."]
    return [*texts, *lines, *bytes_, b"[" * 50_000, b"9" * 6000, archive.getvalue(), random.Random(0).randbytes(3000)]


def damage(path: Path, dice: random.Random, sentinel: Path) -> str:
    """Replace a whole file by one that is damaged, and return how."""
    content = path.read_bytes()
    kind = dice.choice(KINDS)
    path.unlink()
    if kind == "folder":
        path.mkdir()
        return kind
    path.write_bytes(changed(content, kind, dice, sentinel))
    return kind


def changed(content: bytes, kind: str, dice: random.Random, sentinel: Path) -> bytes:
    """Return what a whole file has become."""
    place = dice.randrange(len(content) + 1)
    if kind == "cut":
        return content[:place]
    if kind == "flipped":
        flipped = bytearray(content)
        for _ in range(dice.choice((1, 1, 3, 30))):
            flipped[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        return bytes(flipped)
    if kind == "hole":
        return content[:place] + bytes(min(512, len(content) - place)) + content[place + 512 :]
    if kind == "mixed":
        return content[:place] + dice.choice(foreign()) + content[place:]
    return dice.choice(foreign() if kind == "other kind" else malicious(sentinel))


def restore(path: Path, content: bytes) -> None:
    """Put a file back, whatever stands in its place."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.write_bytes(content)
