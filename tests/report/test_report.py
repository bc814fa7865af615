"""The report: from an empty, a half-finished and a failed runs folder it is right and says so; nothing is from outside.

The same runs give the same bytes: of the page, of every figure and table, and of the executed notebooks.
"""

import html
import json
import os
import re
import shlex
import shutil
import subprocess
from base64 import b64decode
from io import BytesIO

import pandas as pd
import pytest
from reported import Page, failed, half_finished

from repro.cli import main
from repro.configs.registry import find
from repro.report import pages, report
from repro.results.claims import CLAIMS
from repro.results.columns import COLUMNS
from repro.results.rows import ROWS
from repro.runs.states import duration

ARTEFACTS = ("*.svg", "*.pdf", "*.png", "*.gif", "tables/*.csv", "tables/*.md", "tables/*.tex")
ALWAYS = {
    "others/",
    "spos_networks",
    "spos_mixed_precision",
    "table1_cost",
    "spos_flops",
    "spos_bitops",
    "network",
    "figure6-published-recurrent",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module", autouse=True)
def _runs_folder(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_RUNS", str(folder / "runs"))
        patch.setenv("REPRO_DATA", str(folder / "data"))
        patch.setattr(pages, "BROWSERS", ())
        yield


@pytest.fixture(scope="module")
def empty(folder):
    report.build("smoke", folder / "empty")
    return Page(folder / "empty" / "report.html")


@pytest.fixture(scope="module")
def half(folder, empty):
    half_finished()
    report.build("smoke", folder / "half")
    return Page(folder / "half" / "report.html")


@pytest.fixture(scope="module")
def again(folder, half):
    """The report of the same runs in another folder, made again where something had changed or deleted its files."""
    report.build("smoke", folder / "again")
    assert report.build("smoke", folder / "again").startswith("the report is up to date")
    next((folder / "again" / "notebooks").glob("cifar10*.ipynb")).write_text("{}")
    (folder / "again" / "tables" / "summary.md").unlink()
    assert not report.build("smoke", folder / "again").startswith("the report is up to date")
    return Page(folder / "again" / "report.html")


@pytest.fixture(scope="module")
def broken(folder, again):
    """The report of one failure more and Figure 2 less, in the folder of the report before it."""
    failed()
    shutil.rmtree(folder / "runs" / "bilevel-toy")
    (folder / "half" / "mine.txt").write_text("kept")
    os.utime(folder / "half" / "mine.txt", (2**31, 2**31))  # no time of a file makes it the report's
    report.build("smoke", folder / "half")
    return Page(folder / "half" / "report.html")


def commands(page):
    return {html.unescape(command) for command in re.findall("<code>(repro run .*?)</code>", page.source)}


def epochs(name):
    return find(name).sizes["smoke"]["epochs"]


def left(name):
    """What is said of a run after one epoch of a minute."""
    return f"after 1 of {epochs(name)} epochs, about {duration(60 * (epochs(name) - 1))} left"


def test_an_empty_folder_gives_the_papers_and_the_commands(empty):
    assert list(empty.sections)[1:3] == ["The claims", "Summary"]
    assert f"Of {len(CLAIMS)} claims, not run: {len(CLAIMS)}." in empty.sections["The claims"]
    assert "for 20 there is none yet" in empty.sections["Summary"]
    assert {row.command("smoke") for rows in ROWS.values() for row in rows.values()} <= commands(empty)
    assert "2.76 ± 0.09" in empty.sections["Table 1: image classifiers on CIFAR-10"].replace("\u00a0", " ")
    assert (
        "No smoke run yet; make it with: repro run bilevel-toy"
        in empty.sections["Figure 2: the bilevel problem in two numbers"]
    )
    assert not any("here" in line.split(",") for line in empty.sections["Provenance"].splitlines())
    assert "Graph of the normal cell" in empty.source  # the published ones need no run


def test_every_command_that_is_given_is_one_that_runs(empty, monkeypatch):
    from repro.execution import pool, preflight

    planned = set()

    def run_all(jobs, line, at_once):
        for job in jobs:
            planned.add(job.run.name)
            job.outcome = "done"

    monkeypatch.setattr(pool, "run_all", run_all)
    monkeypatch.setattr(preflight, "check", lambda *_: None)  # neither data nor files are here
    found = commands(empty)
    assert len(found) > 20
    for command in sorted(found):
        assert main(shlex.split(command)[1:]) == 0, command
    assert len(planned) > 40


def test_a_half_finished_folder_says_how_far_everything_is(half):
    searches = half.sections["The searches: loss and error over the epochs"]
    assert f"cifar10-search, smoke · data: digits · seed 0 · {epochs('cifar10-search')} epochs" in searches
    assert f"smoke,seed=1: stopped {left('cifar10-search')}." in searches
    assert "ptb-search" in searches
    assert "No smoke run yet; make it with: repro run ptb-search" in searches
    table = half.sections["Table 1: image classifiers on CIFAR-10"].replace("\u00a0", " ")
    assert "test error (%), here (smoke, digits)" in table
    assert "11.00 ± 1.41" in table
    assert "other data" in table
    assert "no smoke run yet" in table
    summary = half.sections["Summary"].replace("\u00a0", " ")
    assert "others for 3 (3 smoke); for 17 there is none yet" in summary
    states = half.sections["All runs"]
    assert f"stopped {left('cifar10-search')}" in states
    assert states.count("done") == 4


def test_a_failed_run_is_told_with_its_reason(broken):
    searches = broken.sections["The searches: loss and error over the epochs"]
    assert f"smoke: failed {left('ptb-search')}, RuntimeError: planted." in searches
    assert "No smoke run yet; make it with: repro run ptb-search" in searches
    states = broken.sections["All runs"]
    assert f"failed {left('ptb-search')}" in states
    assert "damaged: ptb-search/smoke,seed=7/params.json is not readable JSON" in states
    assert "11.00 ± 1.41" in broken.sections["Table 1: image classifiers on CIFAR-10"].replace("\u00a0", " ")


@pytest.mark.parametrize("name", ["empty", "half", "broken"])
def test_the_page_needs_nothing_from_outside(name, request):
    page = request.getfixturevalue(name)
    assert not page.loads
    assert not re.search(r"@import|url\((?!data:)", page.source)
    assert page.images
    for image in page.images:
        kind, data = image["src"].split(",", 1)
        assert kind.startswith("data:image/")
        assert kind.endswith(";base64")
        assert len(b64decode(data)) > 50
        assert image.get("alt"), kind


def test_what_is_wide_scrolls_in_a_box_of_its_own(half):
    assert re.search(r'<div class="output_svg[^>]*>\s*<img[^>]*alt="Graph of the network"', half.source)
    assert half.source.count("<table") == half.source.count('<div class="table"><table')


@pytest.mark.parametrize("name", ["empty", "half", "broken"])
def test_every_link_leads_somewhere(name, request):
    page = request.getfixturevalue(name)
    assert len(page.contents) == len(page.sections) - 1
    assert all(target.startswith("#") for target in page.contents)
    for target in [*page.contents, *page.links]:
        if target.startswith("#"):
            assert target[1:] in page.ids
        elif not target.startswith("https://"):
            assert target in page.files


def test_links_of_other_pages_lead_somewhere(again):
    folder = again.path.parent
    files = list((folder / "notebooks").glob("*.html"))
    assert len(files) == 3
    for file in files:
        page = Page(file)
        assert "../report.html" in page.links
        assert all((file.parent / target).exists() for target in page.links)
    for file in (folder / "tables").glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name} links to {target}"


def test_the_same_runs_give_the_same_bytes(half, again):
    first, second = half.files, again.files
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []
    assert {"report.html", "figure2.svg", "figure2.pdf", "figure2.png", "film/cifar10-search-smoke.gif"} <= set(first)
    tables = (*ROWS, "summary", "claims")
    assert {f"tables/{name}.{suffix}" for name in tables for suffix in ("csv", "md", "tex")} <= set(first)


def test_what_no_run_makes_any_longer_is_deleted(half, broken):
    assert {"figure2.svg", "table1_cost.svg"} <= set(half.files)
    assert {"mine.txt", "table1_cost.svg"} <= set(broken.files)
    assert set(json.loads(broken.files["contents.json"])) == set(broken.files) - {"mine.txt", "contents.json"}
    assert "figure2.svg" not in broken.files


@pytest.mark.parametrize("name", ["half", "broken"])
def test_every_picture_of_a_smoke_run_says_so(name, request):
    files = request.getfixturevalue(name).files
    pictures = {file: text.decode() for file, text in files.items() if file.endswith(".svg")}
    own = {file for file in pictures if not file.removesuffix(".svg").startswith((*ALWAYS, "figure4_5-published"))}
    assert {"curves/cifar10-eval-smoke.svg", "alpha/cifar10-search-smoke-normal.svg"} <= own
    assert {file for file, text in pictures.items() if ": smoke · " in text} == own - {
        "figure2.svg",  # as published
        "claims.svg",  # each of its rows says the size
    }


def test_a_smoke_number_never_stands_without_its_mark(broken):
    head = broken.files["tables/darts_table1_cifar10.md"].decode().splitlines()[0]
    assert "| test error (%), here (smoke, digits) |" in head
    assert "here (smoke, digits)" in broken.files["tables/darts_table1_cifar10.tex"].decode()
    numbers = pd.read_csv(BytesIO(broken.files["tables/darts_table1_cifar10.csv"]))
    (ours,) = numbers[numbers["runs"].notna()].to_dict("records")
    assert (ours["profile"], ours["data"]) == ("smoke", "digits")
    assert not ours["comparable"]
    assert not ours["as_published"]
    for name in ROWS:
        for table in broken.files[f"tables/{name}.md"].decode().split("\n\n"):
            head, _, *lines = table.splitlines()
            for line in lines:
                if "11.00" in line or "3.35" in line:
                    assert "(smoke, digits)" in head or "smoke, digits, " in line, line


def test_tables_for_publication_have_few_columns_and_those_for_work_are_folded(broken):
    for name in ROWS:
        published, work = broken.files[f"tables/{name}.md"].decode().split("\n\n")
        head = published.splitlines()[0].strip("| ").split(" | ")
        assert head[0] == "architecture"
        assert len(head) == 2 or (", here" in head[1] and head[2:] == ["paper", "difference [97 % interval]"])
        assert "repro run" in work
        assert "repro run" not in published + broken.files[f"tables/{name}.tex"].decode()
    tables = re.findall(
        r"<details><summary>.*?</summary><div class=\"table\">.*?</div></details>", broken.source, re.DOTALL
    )
    assert len(tables) == len(ROWS) + 3  # the claims, all runs and provenance
    widths = [len(re.findall("<th ", head)) for head in re.findall(r"<thead>.*?</thead>", broken.source, re.DOTALL)]
    assert max(widths) <= 8


def test_texts_stand_left_and_numbers_right_in_a_notebook_too(broken):
    report = json.loads(broken.files["notebooks/report.ipynb"])
    texts = [
        "".join(o["data"].get("text/html", "")) for c in report["cells"] for o in c.get("outputs", []) if "data" in o
    ]
    cells = [cell for text in texts for cell in re.findall(r"<t[dh].*?</t[dh]>", text, re.DOTALL)]
    assert cells
    assert all('style="text-align:' in cell for cell in cells)
    assert '<td class="right">' in broken.source
    assert re.search(r'<td class="left">[a-z]', broken.source)


def test_the_summary_stands_alone(half):
    text = half.files["tables/summary.md"].decode()
    assert "shown below" not in text
    assert "descent ends at (" in text
    for line in text.splitlines()[2:]:
        _, here, paper, *_ = line.strip("| ").split(" | ")
        assert not ("GPU days" in paper and "error" in here), line


def test_no_raw_name_is_shown(half):
    shown = " ".join(half.sections.values())
    raw = {name for name in (*COLUMNS, "simultaneous_SGD", "reference_widths") if "_" in name}
    assert not [name for name in raw if name in shown]
    assert "DARTS_V2" in shown


ASK = """<script>onload = () => { const root = document.documentElement; document.body.innerText = JSON.stringify({
  images: document.images.length, broken: [...document.images].filter((image) => !image.naturalWidth).length,
  wider: root.scrollWidth - root.clientWidth, cut: [...document.querySelectorAll("td:nth-child(2)")]
    .filter((cell) => cell.offsetParent && cell.getBoundingClientRect().right > innerWidth).length,
  loaded: performance.getEntriesByType("resource")
    .map((entry) => entry.name).filter((name) => !name.startsWith("data:")) }) }</script>"""


def asked(page, question, width, folder):
    """What a script says of a page in Chromium, in a window so wide; nothing may be logged."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or pytest.skip("needs Chromium")
    file = folder / "page.html"
    source = page.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")  # for the question
    file.write_text(source.replace("</body>", question + "</body>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}/profile"]
    command += [f"--window-size={width},900", "--enable-logging=stderr", "--v=0", "--dump-dom", file.as_uri()]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in answer.stderr
    return json.loads(html.unescape(re.search(r"\{.*\}", answer.stdout.split("<body")[1])[0]))


@pytest.mark.parametrize("width", [1400, 500])
@pytest.mark.parametrize("name", ["report.html", "notebooks/cifar10-search-smoke.html"])
def test_a_browser_loads_every_image_and_nothing_else(name, width, again, tmp_path):
    source = again.files[name].decode()
    assert f'content="{pages.POLICY}"' in source.split("<style>")[0]
    images = len(Page(again.path.parent / name).images)
    said = asked(source, ASK, width, tmp_path)
    assert said == {"images": images, "broken": 0, "wider": 0, "cut": 0, "loaded": []}


# Columns break as pages do, by the same rules: what stands in another column is on another page
APART = """<style>main { columns: 700px auto; height: 1000px; column-fill: auto; width: 99999px }</style>
<script>onload = () => { const left = (part) => Math.round(part.getClientRects()[0].left / 700);
  const pairs = [...document.querySelectorAll("h2, h3, .output_area:has(> .output_png, > .output_svg)")]
    .map((part) => [part, part.nextElementSibling])
    .filter((pair) => pair[1] && pair[1].getClientRects().length);
  document.body.innerText = JSON.stringify({ pairs: pairs.length,
    apart: pairs.filter((pair) => left(pair[0]) !== left(pair[1])).map((pair) => pair[0].innerText) }) }</script>"""


def test_in_print_headings_and_figures_keep_what_is_said_of_them(again, tmp_path):
    said = asked(again.source.replace("@media print {", "@media all {"), APART, 1400, tmp_path)
    assert said["pairs"] > 40
    assert said["apart"] == []
