"""Pages and tables as they are written: formulas, PDF, links, and what stands left, right and broken."""

import re
import shutil
from base64 import b64decode

import nbformat
import pandas as pd
import pytest
import spoken

from repro.report import formulas, pages, typeset
from repro.results.rows import ROWS
from repro.settings import ROOT


def test_a_pdf_tells_neither_path_nor_date_and_is_always_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "BROWSERS", ("chromium", "chromium-browser", "google-chrome"))
    if not any(map(shutil.which, pages.BROWSERS)):
        pytest.skip("needs Chromium")
    printed = []
    for name in ("first", "second"):
        page = tmp_path / name / "page.html"
        page.parent.mkdir()
        page.write_text('<a href="notebooks/a.html">run 1</a> <a href="#b">b</a> <h2 id="b">b</h2>')
        assert pages.print_pdf(page, page.with_suffix(".pdf")) is None
        printed.append(page.with_suffix(".pdf").read_bytes())
    assert printed[0] == printed[1]
    assert printed[0].startswith(b"%PDF")
    assert b"file:" not in printed[0]


@pytest.mark.parametrize("path", sorted(pages.NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_formula_of_a_notebook_is_drawn(path):
    text = spoken.prose(path)
    written = [found["display"] or found["inline"] for found in formulas.FORMULA.finditer(text) if not found["code"]]
    assert formulas.drawn(text).count('<img class="math"') == len(written)


def test_a_formula_of_its_own_line_is_large_enough_to_read():
    height = lambda text: float(re.search(rb'height="([\d.]+)pt"', b64decode(re.search('base64,([^"]*)', text)[1]))[1])
    fraction = r"\frac{\exp(\alpha_o)}{\sum_{o'} \exp(\alpha_{o'})}"
    assert height(formulas.drawn(f"$${fraction}$$")) > 1.5 * height(formulas.drawn(f"${fraction}$"))


FIGURES = pages.ROOT / "figures"


def test_published_tables_lead_somewhere_and_mark_what_is_no_reproduction():
    tables = sorted((FIGURES / "tables").glob("*.md"))
    assert {file.stem for file in tables} - {"claims"} == {*ROWS, "summary"}
    for file in tables:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name} links to {target}"
        head, _, *rows = [line.strip("| ").split(" | ") for line in file.read_text().split("\n\n")[0].splitlines()]
        for row in rows:
            cells = dict(zip(head, row, strict=True))
            here = [f"{name} {text}" for name, text in cells.items() if "here" in name and re.search(r"\d", text)]
            size = cells.get("verdict", cells.get("runs", ""))
            assert "paper" in size or all(re.search("smoke|desk|short", f"{text} {size}") for text in here), row


def test_links_of_an_executed_notebook_lead_to_the_repository_s_files_from_where_it_lies(tmp_path):
    text = "[a](../repro/darts/bilevel.py) [b](90_report.ipynb) [c](gone.py) [d](https://arxiv.org) [e](#f)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    (inside,) = pages.moved(notebook, ROOT / "figures" / "notebooks").cells
    here = "[a](../../repro/darts/bilevel.py) [b](../../notebooks/90_report.ipynb)"
    assert inside.source == f"{here} c [d](https://arxiv.org) [e](#f)"
    (outside,) = pages.moved(notebook, tmp_path).cells
    assert outside.source == "a b c [d](https://arxiv.org) [e](#f)"


def test_the_first_column_names_the_rows_and_stands_left_heading_and_all():
    text = typeset.to_html(pd.DataFrame({"seed": [0, 1], "accuracy (%)": [39.0, 46.0]}))
    assert re.findall(r"<t[hd][^>]*text-align:(\w+)[^>]*>([^<]*)", text)[:4] == [
        ("left", "seed"), ("right", "accuracy (%)"), ("left", "0"), ("right", "39"),
    ]  # fmt: skip


def test_long_words_of_a_table_may_be_broken_and_thousands_are_not():
    cell = "|nor_conv_3x3~0|+|skip_connect~0|none~1|"
    text = typeset.to_html(pd.DataFrame({"run": ["cifar10-search/smoke,seed=1"], "cell": [cell], "images": ["12,345"]}))
    assert "cifar10-search/<wbr>smoke,<wbr>seed=1" in text
    assert "|<wbr>nor_conv_3x3~0|+|<wbr>skip_connect~0|<wbr>none~1|" in text
    assert "12,345" in text


def test_epochs_are_counted_from_1_where_they_are_numbers(monkeypatch):
    shown = []
    monkeypatch.setattr(typeset.style, "show", lambda bundle, **_: shown.append(bundle["text/plain"]))
    typeset.show(pd.DataFrame({"epoch": [0, 1], "loss": [2.5, 1.5]}))
    typeset.show(pd.DataFrame({"epoch": ["last", "best"], "loss": [2.5, 1.5]}))
    counted, named = ([line.split(" | ")[0].strip("| ") for line in text.splitlines()[2:]] for text in shown)
    assert counted == ["1", "2"]
    assert named == ["last", "best"]
