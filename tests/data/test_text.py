"""Text: a corpus is what it claims to be, streams keep the order of words, and what is wrong is told in one line."""

import hashlib
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.data import text
from repro.data.text import NAMES, PARTS, ReleasedCorpus, batchify, fetch, load_corpus
from repro.errors import ReproError, UsageError

TEXTS = ("the cat sat\non the mat\n", "the mat sat\n", " \n the dog\n")
FILES = tuple(f"tiny/{part}.txt" for part in PARTS)


def write(folder, texts=TEXTS):
    (folder / "tiny").mkdir(parents=True, exist_ok=True)
    for file, content in zip(FILES, texts, strict=True):
        (folder / file).write_text(content)
    return folder


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A corpus of three small files, its originals served by file:// addresses."""
    origin = write(tmp_path / "origin")
    md5 = tuple(hashlib.md5((origin / file).read_bytes()).hexdigest() for file in FILES)
    source = ReleasedCorpus(FILES, (8, 4, 4), 7, md5, tuple((origin / file).as_uri() for file in FILES))
    monkeypatch.setitem(text.SOURCES, "tiny", source)
    monkeypatch.setattr(text, "NAMES", (*NAMES, "tiny"))
    return source


def test_types_are_numbered_in_order_of_appearance_and_blank_lines_count(tiny, tmp_path):
    corpus = load_corpus("tiny", write(tmp_path))
    assert corpus.vocabulary == ("the", "cat", "sat", "<eos>", "on", "mat", "dog")
    assert corpus.train.tolist() == [0, 1, 2, 3, 4, 0, 5, 3]
    assert corpus.test.tolist() == [3, 0, 6, 3]
    assert list(corpus.checksums) == list(FILES)
    assert corpus.head(3).train.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ((TEXTS[0], "", TEXTS[2]), r"valid\.txt is empty"),
        ((TEXTS[0] + "more\n", *TEXTS[1:]), r"train\.txt has 10 tokens with <eos>, tiny has 8"),
        (("a cat sat\non the mat\n", *TEXTS[1:]), "has 8 different words, expected 7"),
    ],
)
def test_another_text_is_refused(tiny, tmp_path, texts, message):
    with pytest.raises(ReproError, match=message):
        load_corpus("tiny", write(tmp_path, texts))


def test_what_is_missing_is_named():
    with pytest.raises(ReproError, match=r"ptb\.train\.txt does not exist: run `repro data fetch ptb`"):
        load_corpus("ptb", "/nowhere")
    with pytest.raises(UsageError, match="did you mean 'wikitext-2'"):
        load_corpus("wikitext2")


def test_english_is_prose_with_a_closed_vocabulary():
    corpus = load_corpus("english")
    assert corpus.vocabulary_size == 2000
    assert all(getattr(corpus, part).min() >= 0 and getattr(corpus, part).max() < 2000 for part in PARTS)
    assert 25_000 < len(corpus.train) < 100_000
    assert min(len(corpus.valid), len(corpus.test)) > 3_000
    assert {"the", "<unk>", "<eos>"} < set(corpus.vocabulary)
    assert corpus.checksums == load_corpus("english").checksums
    lines = [[tuple(line.split()) for line in _words(corpus, part).split("<eos>")] for part in PARTS]
    long = [{line for line in part if len(line) > 20} for part in lines]
    assert not long[0] & (long[1] | long[2])  # no paragraph of the training text is quoted in the others


def _words(corpus, part):
    return " ".join(corpus.vocabulary[i] for i in getattr(corpus, part))


@given(st.integers(2, 200), st.integers(1, 20))
def test_batchify_keeps_each_stream_in_order(length, batch):
    tokens = torch.arange(length)
    if length // batch < 2:
        with pytest.raises(UsageError, match=f"the text has {length}"):
            batchify(tokens, batch)
        return
    streams = batchify(tokens, batch)
    assert streams.shape == (length // batch, batch)
    assert torch.equal(streams.t().reshape(-1), tokens[: streams.numel()])


def test_fetch_brings_the_files_once(tiny, tmp_path):
    paths = fetch("tiny", tmp_path / "data")
    assert load_corpus("tiny", tmp_path / "data").train.shape == (8,)
    before = [path.stat().st_mtime_ns for path in paths]
    paths[1].write_text("damaged")
    fetch("tiny", tmp_path / "data")
    after = [path.stat().st_mtime_ns for path in paths]
    assert (after[0], after[2]) == (before[0], before[2])
    assert paths[1].read_text() == TEXTS[1]


def test_fetch_reads_members_of_an_archive_by_name(tiny, tmp_path, monkeypatch):
    packed = tmp_path / "corpus.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file, content in zip(FILES, TEXTS, strict=True):
            archive.writestr(file, content)
        archive.writestr("../outside.txt", "must not appear")
    monkeypatch.setitem(text.SOURCES, "tiny", tiny._replace(urls=(packed.as_uri(),)))
    fetch("tiny", tmp_path / "deep" / "data")
    assert sorted(path.name for path in (tmp_path / "deep").rglob("*.txt")) == ["test.txt", "train.txt", "valid.txt"]
    assert not list(tmp_path.rglob("outside.txt"))


def test_fetch_leaves_nothing_wrong_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(text.SOURCES, "tiny", tiny._replace(md5=("0" * 32, *tiny.md5[1:])))
    with pytest.raises(ReproError, match=r"tiny/train\.txt .* expected 0000"):
        fetch("tiny", tmp_path / "data")
    monkeypatch.setitem(text.SOURCES, "tiny", tiny._replace(urls=((tmp_path / "none.zip").as_uri(),)))
    with pytest.raises(ReproError, match=r"could not be downloaded .*: put tiny/train\.txt"):
        fetch("tiny", tmp_path / "data")
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    with pytest.raises(UsageError, match="unknown corpus to download"):
        fetch("english", tmp_path)


@pytest.mark.parametrize("name", ["ptb", "wikitext-2"])
def test_real_corpora_have_the_published_counts(data_folder, name):
    if not (data_folder / name).is_dir():
        pytest.skip(f"needs real data: {name} in {data_folder}")
    corpus = load_corpus(name, data_folder)
    assert tuple(len(getattr(corpus, part)) for part in PARTS) == text.SOURCES[name].tokens
    assert tuple(corpus.checksums.values()) == text.SOURCES[name].md5
