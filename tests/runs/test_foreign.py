"""Others' runs: whatever is wrong within one is named and the rest is shown, and nothing that one holds is executed."""

import http.server
import itertools
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser

import foreign
import nbformat
import pytest

from repro.files import make_folder
from repro.report import drawings, pages, report, sections
from repro.results import compare
from repro.results.compare import Group
from repro.runs import snapshot, states

pytestmark = pytest.mark.usefixtures("folder")

WRONG = (None, "text", -1, 1e300, [], {}, True, [[1]], {"a": None}, 10**400)
CONTENTS = (b"", b'{"a": [', b"[]\n", b"3\n", b"\x80\x00", b"NaN\n", b'{"a": "\\ud800"}\n', b"[" * 100_000)


def damaged(runs, names, depth):
    """Make damaged copies of runs: each file missing and of other contents, each entry missing and of other values.

    names: of the files. Returns the copies, and for each the file, where its damage must be told.
    """
    numbers, values, found = itertools.count(), itertools.cycle(WRONG), {}

    def copy(run, name, tell=True):
        path = foreign.copied(run, next(numbers))
        found[path] = name if tell else ""
        return path / name

    for run, name in [(each, name) for each in runs for name in foreign.files(each) if re.search(names, name)]:
        copy(run, name, name not in ("result.json", "provenance.json")).unlink()  # there may be none yet
        for content in CONTENTS:
            copy(run, name).write_bytes(content)
        for place in foreign.places(foreign.read(run / name), depth):
            for change in (foreign.drop, foreign.put(next(values))):
                file = copy(run, name, False)
                foreign.write(file, foreign.changed(foreign.read(file), place, change))
    return found


def name(path):
    return "/".join(path.parts[-2:])


def test_whatever_is_wrong_in_what_the_tables_read_is_named_and_the_rest_is_shown(monkeypatch, tmp_path):
    runs = foreign.whole(tmp_path / "runs")
    found = damaged(runs, "^(params|provenance|result)", 3)
    monkeypatch.setattr(sections, "_show", lambda *_: None)
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
        ("bilevel-toy", "trajectories", drawings.toy),
        ("cifar10-eval", "metrics", drawings.curves),
        ("cifar10-search", "metrics", drawings.alphas),
        ("ptb-search", "metrics", drawings.films),
        ("cifar10-progress", "snapshots|result", drawings.progress),
        ("cifar10-select", "result", drawings.cells),
        ("spos-blocks", "evolution", drawings.candidates),
        ("spos-correlation", "networks|result", drawings.rankings),
    ],
)
def test_whatever_is_wrong_in_what_is_drawn_is_named_and_the_rest_is_drawn(
    experiment, names, draw, monkeypatch, tmp_path
):
    (run,) = [run for run in foreign.whole(tmp_path / "runs") if run.parent.name == experiment]
    run = foreign.copied(run, 5000)  # the last one of its group
    shutil.rmtree(run.with_name("smoke"))
    monkeypatch.setattr(sys.modules[__name__], "CONTENTS", CONTENTS[:3])
    found, shown, folder = damaged([run], names, 2), foreign.shown(monkeypatch), tmp_path / "report"
    with snapshot.taken():
        overview = compare.overview().set_index("run")["state"]
        sections.each(experiment, "smoke", draw, folder / "together")
        alone = [Group((each,)) for each in compare.of_experiment(experiment) if each.result]
        monkeypatch.setattr(compare, "groups", lambda *_: alone)
        sections.each(experiment, "smoke", draw, folder / "alone")
    assert [*(folder / "together").rglob("*.*")] or [*folder.glob("figure*")]
    reasons = dict(re.findall(r"^(\S+) cannot be shown: (.+)$", foreign.said(shown), re.MULTILINE))
    assert run.name not in reasons
    told = {*reasons, *(path.name for path in found if overview[name(path)].startswith(("damaged", "not counted")))}
    assert {path.name for path, file in found.items() if file} <= told


def test_a_notebook_that_cannot_be_read_is_a_page_that_says_so(tmp_path):
    run = next(run for run in foreign.whole(tmp_path / "runs") if run.parent.name == "ptb-eval")
    cell = nbformat.v4.new_markdown_cell("$\\nothing$ and $\\frac{$")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), run / "notebook.ipynb")
    for number, content in enumerate((None, *CONTENTS)):
        if content is not None:
            (run / "notebook.ipynb").write_bytes(content)
        with snapshot.taken():
            (opened,) = [each for each in states.survey().runs if each.path == run]
            make_folder(tmp_path / f"{number}" / "notebooks")
            page, source = report.export(opened, tmp_path / "none", tmp_path / f"{number}", {})
        text = (tmp_path / f"{number}" / page).read_text()
        assert ("its executed notebook cannot be shown" in text) == (content is not None)
        assert nbformat.read(tmp_path / f"{number}" / source, as_version=4).cells


class Waiting(HTMLParser):
    """What of a page would be executed when it is clicked or sent."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = [(value or "").strip().lower() for _, value in attributes]
        self.found += [value for value in values if value.startswith(("javascript:", "data:text", "vbscript:"))]
        self.found += [name for name, _ in attributes if name.startswith("on")]


class Browser:
    """Chromium, and a server that it must not reach: `count` tells what pages executed or fetched."""

    def __init__(self, folder):
        self.program = next(filter(None, map(shutil.which, pages.BROWSERS)), None) or pytest.skip("needs Chromium")
        self.folder, self.asked = folder, []
        actions = {"do_GET": lambda request: self.answer(request), "log_message": lambda *_: None}
        handler = type("Handler", (http.server.BaseHTTPRequestHandler,), actions)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        self.asked.append(request.path)
        request.send_response(204)
        request.end_headers()

    def attack(self, number):
        """A text in one line that tries every way to execute or to fetch something."""
        run, fetch = f"document.title += ' R' + 'AN{number} '", f"{self.address}/{number}"
        return (
            f'"\'></td></pre></textarea></title></style></script><script>{run}</script><img src=x onerror="{run}">'
            f'<svg onload="{run}"></svg><math href="javascript:{run}">m</math>'
            f'<details open ontoggle="{run}">d</details>'
            f"<iframe srcdoc=\"<script>parent.{run}</script>\"></iframe><iframe src='{fetch}'></iframe>"
            f"<img src='{fetch}'><b style='background:url({fetch})'>b</b><style>@import '{fetch}';</style>"
            f"<link rel=stylesheet href='{fetch}'><object data='{fetch}'></object><video src='{fetch}'></video>"
            f'<a href="javascript:{run}">a</a> [l](javascript:{run.replace(" ", "")}) ![i]({fetch})'
            f"<javascript:{number}>"
            f'<form action="javascript:{run}"><button>f</button></form> `c` $\\\\x$ $$<b>$$ {{{{7*7}}}}'
        )

    def count(self, page):
        """What a page executes, fetches, or would execute when it is clicked."""
        (self.folder / "page.html").write_text(page, "utf-8")
        command = [self.program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        command += ["--disable-background-networking", f"--user-data-dir={self.folder}/profile", "--dump-dom"]
        self.asked.clear()
        command.append((self.folder / "page.html").as_uri())
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
        ran = re.findall(r"RAN\d+", title[1] if title else "")
        return [*ran, *self.asked, *Waiting(dom).found]


@pytest.fixture
def browser(tmp_path):
    browser = Browser(make_folder(tmp_path / "browser"))
    yield browser
    browser.server.shutdown()


def hostile(runs, attack):
    """Copies of runs with an attack in place of every value and of every name, and in the name of a folder."""
    numbers = itertools.count()
    for run, file in [(each, file) for each in runs for file in foreign.files(each)]:
        for place in foreign.places(foreign.read(run / file), 3):
            for change in (foreign.put, foreign.rename):
                number = next(numbers)
                path = foreign.copied(run, number) / file
                foreign.write(path, foreign.changed(foreign.read(path), place, change(attack(number))))
        failed = foreign.copied(run, next(numbers))
        (failed / "result.json").unlink()
        (failed / "failure.txt").write_text(attack(next(numbers)))
        named = run.with_name(f"<img src=x onerror=document.title+='R'+'AN{next(numbers)}'>")
        foreign.copied(run, next(numbers)).rename(named)
    return next(numbers)


def notebook(attack):
    """A notebook with an attack in every kind of cell and of output."""
    kinds = ("text/html", "text/markdown", "text/latex", "image/svg+xml", "application/javascript", "text/plain")
    kinds += ("image/png", "application/json", "application/pdf")
    numbers = itertools.count(9000)
    new = nbformat.v4
    outputs = [new.new_output("display_data", data={kind: attack(next(numbers))}) for kind in kinds]
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": attack(next(numbers))}}
    outputs.append(new.new_output("display_data", data=widget))
    alt = {kind: {"alt": attack(next(numbers)), "width": attack(next(numbers))} for kind in kinds}
    outputs += [new.new_output("display_data", data={kind: "AAAA"}, metadata=alt) for kind in ("image/png", kinds[3])]
    outputs += [new.new_output("stream", name=name, text=attack(next(numbers))) for name in ("stdout", "stderr")]
    facts = {name: attack(next(numbers)) for name in ("ename", "evalue")}
    outputs.append(new.new_output("error", **facts, traceback=[attack(next(numbers))]))
    cells = [new.new_markdown_cell(attack(next(numbers))), new.new_raw_cell(attack(next(numbers)))]
    cells += [new.new_markdown_cell(f"# {attack(next(numbers))}\n\n> {attack(next(numbers))}")]
    cells += [new.new_code_cell(attack(next(numbers)), outputs=outputs, metadata={"tags": [attack(next(numbers))]})]
    return new.new_notebook(cells=cells, metadata={"title": attack(next(numbers))})


def test_nothing_that_a_run_holds_is_executed_or_fetched(monkeypatch, tmp_path, browser):
    kinds = ("cifar10-search", "cifar10-progress", "spos-retrain")
    runs = [run for run in foreign.whole(tmp_path / "runs") if run.parent.name in kinds]
    count = hostile(runs, browser.attack)
    nbformat.write(notebook(browser.attack), runs[0] / "notebook.ipynb")
    with snapshot.taken():
        _, whole = foreign.made(monkeypatch, tmp_path / "report")
        opened = next(run for run in states.survey().runs if run.path == runs[0])
        place, _ = report.export(opened, tmp_path / "none", make_folder(tmp_path / "aside" / "notebooks").parent, {})
    own = (tmp_path / "aside" / place).read_text()
    assert "cannot be shown" not in own
    assert count > 400
    assert browser.count(f"<title></title>{browser.attack(1)}")  # as it would be
    for page in (whole, own):
        assert "document.title" in page  # it is shown as text
        assert f'content="{pages.POLICY}"' in page
        assert browser.count(page) == []
        assert browser.count(page.replace(f'content="{pages.POLICY}"', "")) == []  # what is allowed is enough alone


def test_a_page_is_printed_without_scripts_network_and_files(tmp_path, browser):
    (tmp_path / "secret.html").write_text("<a href='https://secret.example/'>secret</a>")
    frame = f"<iframe width=500 height=500 src='{(tmp_path / 'secret.html').as_uri()}'></iframe>"
    page = tmp_path / "page.html"
    page.write_text(f"<title>page</title>{browser.attack(3)}{frame}<a href='https://open.example/'>open</a>")
    assert pages.print_pdf(page, tmp_path / "page.pdf") is None
    printed = (tmp_path / "page.pdf").read_bytes()
    assert browser.asked == []
    assert b"open.example" in printed
    assert b"secret.example" not in printed
    assert b"RAN" not in printed


@pytest.mark.parametrize(("user", "without"), [(0, True), (1000, False)])
def test_the_browser_that_prints_has_its_sandbox_unless_for_root(user, without, tmp_path, monkeypatch):
    monkeypatch.setattr(pages.os, "geteuid", lambda: user)
    assert ("--no-sandbox" in pages._confined(tmp_path)) == without
