"""README, CONTRIBUTING and docs/: every command runs as written, and every number is the paper's, or was measured.

The worked examples are tested in test_examples.py.

Commands of blocks and of the table of results run in this process, with the real plans, parameters and recipes, at a
fraction of the smoke profile's size and without Papermill (test_engine.py has that). Only read by their own parsers are
torchrun, which wants two machines, what certifies a GPU (test_certify.py has it), the report within `make reproduce`,
and what stands in the running text; `repro report` is of an empty folder (test_report.py has the others), and downloads
are replaced.
"""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from functools import partial
from statistics import fmean, median

import nbformat
import pytest
import yaml
from prose import PAGES, README, ROOT, TEXT, blocks, commands, quoted, section
from torch.utils.data import DataLoader

import repro
from benchmarks.certify import __main__ as certify
from repro import cli
from repro.configs import profiles
from repro.configs.registry import EXPERIMENTS, find
from repro.data import datasets, loader
from repro.data.folders import pictures
from repro.execution import arguments as typed
from repro.execution import engine, listing_claims, notebooks, pool, preflight
from repro.report import pages
from repro.results import claims, published
from repro.results.claim_rows import rows
from repro.results.verdicts import NOT_RUN, UNFINISHED
from repro.runs.run import read_run

RESULTS = section("README.md", "## Results")
REST = TEXT.replace(RESULTS, "")
SPEED = PAGES[ROOT / "docs" / "speed.md"]
EXAMPLES = ("dataset=mine", "bilevel-starts")  # in commands that want the changes of a worked example

FEW_IMAGES = {"images": 48, "batch": 16, "epochs": 1, "channels": 2}
FEW_WORDS = {"tokens": 1500, "batch": 8, "epochs": 1, "hidden_size": 8}
FEW_STEPS = {"iterations": 2, "batch": 16, "images": 200}
FEW_CANDIDATES = {"generations": 1, "population": 4, "parents": 2, "mutation": 1, "crossover": 1, "bn_images": 64}
FEW_TURNS = {"steps": 2, "warm_up_steps": 1}
SMALL = {
    **dict.fromkeys(("cifar10-search", "cifar10-joint", "cifar10-select", "cifar10-eval"), FEW_IMAGES),
    "cifar10-random": {**FEW_IMAGES, "samples": 2},
    "cifar10-progress": {**FEW_IMAGES, "search_seeds": (0,), "snapshots": (1,)},
    "imagenet-eval": {"images": 16, "epochs": 1, "channels": 2, "size": 32, "resize": 32},
    **dict.fromkeys(("ptb-search", "ptb-select", "ptb-eval", "wikitext2-eval"), FEW_WORDS),
    "ptb-random": {**FEW_WORDS, "samples": 2},
    "ptb-progress": {**FEW_WORDS, "search_seeds": (0,), "snapshots": (1,)},
    "spos-supernet": {**FEW_STEPS, "bn_images": 64, "evaluated_paths": 1, "valid_images": 100},
    **dict.fromkeys(("spos-blocks", "spos-channels", "spos-bits", "spos-mobile"), FEW_CANDIDATES),
    "spos-latency": {"batch": 1, "rounds": 2, "networks": 2},
    "spos-evolution": {**FEW_CANDIDATES, "search_seeds": (0,)},
    "spos-retrain": FEW_STEPS,
    "spos-correlation": {"networks": 2, "iterations": 2, "bn_images": 64},
    "cifar10-cost": {"images": 48, "batch": 16, "channels": 2, **FEW_TURNS},
    "spos-cost": {"batch": 16, "paths": 1, **FEW_TURNS},
    "nb201-search": FEW_IMAGES,
    "nb201-paths": {**FEW_IMAGES, **FEW_CANDIDATES, "images": 200, "valid_images": 100, "ranked": 3},
    "derivation": {"tune_steps": 1, "judged_images": 16},
    "darts-evolution": {**FEW_CANDIDATES, "judged_images": 16, "ranked": 3},
    "ptb-paths": {**FEW_WORDS, "generations": 1, "population": 4, "parents": 2, "mutation": 1, "crossover": 1},
    "hardware-front": {**FEW_IMAGES, **{name: FEW_CANDIDATES[name] for name in FEW_CANDIDATES if name != "bn_images"}}
    | {"images": 200, "cost_weights": (0.0, 1.0), "cost_limits": (0.7, 1.0), "rounds": 2, "networks": 2},
    "hypergradient-truth": {"hidden": 1, "repeats": 1},
    "hypergradient-search": FEW_IMAGES,
}
SMOKE = {each.name: each.sizes.get("smoke", {}) for each in EXPERIMENTS.values()}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Folders of runs and data, a small smoke profile, and runs that compute in this process."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_RUNS", str(folder / "runs"))
        patch.setenv("REPRO_DATA", str(folder / "data"))
        patch.setattr(pages, "BROWSERS", ())
        for name, changes in SMALL.items():
            patch.setitem(find(name).sizes, "smoke", {**SMOKE[name], **changes})
        patch.setattr(engine, "execute", partial(compute, engine.execute))
        patch.setattr(pool, "cores", lambda: 1)
        patch.setattr(loader, "DataLoader", _in_this_process)
        fetched = datasets.DataSet(lambda: "checked", lambda folder: [])
        patch.setitem(datasets.DATASETS, "cifar10", fetched)
        flowers(folder / "data" / "flowers")
        yield folder


def compute(execute, source, target, values, *others):
    """Compute a run as its notebook does, after the engine's own check; the report's notebook is executed."""
    if not target.with_name("params.json").exists():
        return execute(source, target, values, *others)
    engine.check(source, values)
    run = read_run(target.parent)
    run.finish(notebooks.compute(run))
    return nbformat.write(nbformat.v4.new_notebook(), target)


def flowers(folder):
    """Pictures of five classes."""
    pictures(folder)
    for part in ("train", "val"):
        for extra in sorted((folder / part).iterdir())[5:]:
            shutil.rmtree(extra)


def _in_this_process(*given, **options):
    """A loader without processes: those that one command leaves would end while the next one runs here."""
    return DataLoader(*given, **{**options, "num_workers": 0, "persistent_workers": False})


def is_of_example(command):
    """Whether it wants the changes of a worked example: test_examples.py has it."""
    return bool({*EXAMPLES} & {*command})


def run(command):
    """Run one command; return its exit status."""
    program, *arguments = (
        path for word in command for path in (sorted(map(str, ROOT.glob(word))) if "*" in word else [word])
    )
    if program == "repro":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REPRO_RUNS", os.environ["REPRO_RUNS"] + ("-none" if arguments == ["report"] else ""))
            if "folder=flowers" in arguments:  # the worked examples fit their data at the profile's own size
                for name, changes in SMOKE.items():
                    patch.setitem(find(name).sizes, "smoke", changes)
            return cli.main(arguments)
    if program == "make":
        return sum(run(line) for line in made(arguments) if line[1] == "run")
    if program == "python":
        assert arguments[:2] == ["-m", "benchmarks.certify"]
        return 0 if certify.parse(arguments[2:]) else 1
    if program == "torchrun":
        return read_torchrun(arguments)
    raise AssertionError(f"this test does not know the program: {program}")


def made(arguments):
    """The commands of the package that make would run, once the environment is there."""
    answer = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.findall(r"^\S+/(?:repro|ruff|python -m pytest).*", answer.stdout, re.MULTILINE)
    lines = [shlex.split(line) for line in found]
    assert lines, arguments
    own = [["repro", *line[1:]] for line in lines if line[0].endswith("/repro")]
    assert all(typed.parse(line[1:]) for line in own)
    return own


def read_torchrun(arguments):
    """Read the options of torchrun by its own parser, and those of the recipe by the package's."""
    from torch.distributed.run import get_args_parser

    options = get_args_parser().parse_args(arguments)
    assert options.module
    assert options.training_script == "repro.recipe"
    name, *pairs = options.training_script_args
    values = dict(pair.split("=", 1) for pair in pairs)
    profiles.changes(values.pop("profile"), find(name))
    find(name).parameters.parse(values)
    return 0


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_every_command_of_a_block_runs(folder, capfd):
    found = [tuple(command) for block in blocks("sh") for command in commands(block) if not is_of_example(command)]
    assert len({*found}) > 15
    for command in dict.fromkeys(found):
        assert run(command) == 0, (" ".join(command), capfd.readouterr().err[-2000:])
        if command[:2] == ("repro", "verify"):
            assert_agreement_is_as_told(capfd.readouterr().out)
    assert (folder / "runs-none" / "report" / "report.html").exists()
    assert (folder / "runs" / "imagenet-eval").is_dir()


def assert_agreement_is_as_told(printed):
    """What `repro verify` prints has as many arrays, and as large differences, as the README's first screen says."""
    told = re.search(r"(\d+) arrays that it computed.*?largest relative difference of (\S+)", README, re.DOTALL)
    rows = re.findall(r"^  \S+ +(\S+)  \(at most", printed, re.MULTILINE)
    assert len(rows) == int(told.group(1))
    assert max(map(float, rows)) < 10 * float(told.group(2))  # another machine rounds otherwise


def test_every_command_of_the_table_of_results_runs(folder, capfd):
    for command in quoted(RESULTS):
        assert run(command) == 0, (" ".join(command), capfd.readouterr().err[-2000:])


def test_every_experiment_has_its_row():
    assert {command[2] for command in quoted(RESULTS)} == set(EXPERIMENTS)


def test_commands_in_the_text_are_ones_that_there_are(monkeypatch):
    planned = []

    def run_all(jobs, line, at_once):
        planned.extend(jobs)
        for job in jobs:
            job.outcome = "done"

    monkeypatch.setattr(pool, "run_all", run_all)
    monkeypatch.setattr(preflight, "check", lambda *_: None)
    for command in quoted(REST):
        if command[0] == "repro":
            options = typed.parse(command[1:])
            if command[1:2] == ["run"] and len(command) > 2 and not is_of_example(command):
                assert cli.main(command[1:]) == 0, command
            assert options.command
        elif command[0] == "make":
            assert re.search(rf"^{command[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        elif command[0] == "python":
            assert command[1:3] == ["-m", "repro.recipe"]
            find(command[3]).parameters.parse(dict(pair.split("=") for pair in command[4:] if "profile" not in pair))
    assert planned


ERROR = ("test_error_percent", "std")
CITED = {  # line of the table of results -> which numbers it gives: table, row, columns, in their order
    "Table 1: DARTS, second order": [("darts_table1_cifar10", "darts-2nd", ERROR)],
    "Table 1: DARTS, first order": [("darts_table1_cifar10", "darts-1st", ERROR)],
    "Table 1: best of 24 random cells": [("darts_table1_cifar10", "random", ERROR)],
    "Sect. 3.3: alpha and w on the same images": [
        ("darts_ablations", "coordinate-descent", ERROR),
        ("darts_ablations", "simultaneous-sgd", ERROR),
    ],
    "Table 1: search cost of both orders": [
        ("darts_table1_cifar10", key, ("search_gpu_days",)) for key in ("darts-2nd", "darts-1st")
    ],
    "Table 3: ImageNet": [("darts_table3_imagenet", "darts", ("top1_error_percent", "top5_error_percent"))],
    "Table 2: Penn Treebank": [("darts_table2_ptb", "darts-2nd", ("test_perplexity",))],
    "Table 2: best of 8 random cells": [("darts_table2_ptb", "random", ("test_perplexity",))],
    "Table 4: WikiText-2": [("darts_table4_wikitext2", "darts", ("test_perplexity",))],
    "SPOS Sect. 4: blocks, by evolution": [("spos_blocks", "found-blocks", ("flops_M",))],
    "SPOS Sect. 4: channels of the found blocks": [("spos_channels", "found-channels", ("top1_percent", "flops_M"))],
    "SPOS Sect. 4: mixed precision": [
        ("spos_bits", "resnet18-within-2W2A", ("top1_percent",)),
        ("spos_bits", "resnet18-2W2A", ("bitops_G",)),
    ],
    "SPOS Sect. 4: the found blocks, trained": [("spos_blocks", "found-blocks", ("top1_percent",))],
}


def test_the_papers_numbers_are_those_of_their_rows():
    """Each number of the column of results is the one of its row; costs are the registry's."""
    lines = [line.strip("| ").split(" | ") for line in RESULTS.splitlines() if "`repro run" in line]
    assert len(lines) >= len(EXPERIMENTS)
    assert {line[0] for line in lines} > CITED.keys()
    for name, result, cost, *_, command in lines:
        text = re.sub(r"ResNet-\d+|top-\d|Figures?[\d, ]+|DARTS_V2", "", result)
        rows = [
            (published.table(table).set_index("id").loc[row], columns) for table, row, columns in CITED.get(name, [])
        ]
        assert [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)] == [
            row[column] for row, columns in rows for column in columns
        ], name
        experiment = find(command.split("`repro run ")[1].split()[0].rstrip("`"))
        for days in re.findall(r"[\d.]+(?= GPU day| GPU hour)", cost):
            assert days in experiment.cost or days in experiment.claim, (days, experiment.cost)


def test_the_verdicts_are_those_of_the_published_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    (block,) = re.findall(r"<!-- verdicts.*-->\n(.*)<!-- end of verdicts -->", README, re.DOTALL)
    decided = claims.headlines()
    assert block.splitlines() == listing_claims.markdown(decided)
    named = {*re.findall(r"\b[DSF]\d+\b", " ".join(re.findall(r"claims? ([^|]+)\|", RESULTS)))}
    assert named == {each.claim.id for each in decided if each.word not in (NOT_RUN, UNFINISHED)}


def test_every_link_leads_somewhere():
    """To a file, and where it names a heading, to one that the file has."""
    assert len(PAGES) == 9
    for page, text in PAGES.items():
        text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\((?!http)([^)]+)\)|src=\"([^\"]+)\"", text):
            file, _, heading = "".join(link).partition("#")
            target = (page.parent / file) if file else page
            assert target.exists(), (page.name, file)
            assert not heading or heading in anchors(target), (page.name, heading)


def anchors(page):
    """The headings of a page, as links spell them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    """But for the verdicts and the experiments, of which there are more with every claim and every study."""
    rest = re.sub(r"<!-- verdicts.*<!-- end of verdicts -->", "", README, flags=re.DOTALL).splitlines()
    assert len([line for line in rest if not line.startswith("| ") or "`repro run" not in line]) <= 130


def test_no_page_is_forgotten():
    """Every page of docs/ has a link in the README, and leads back to something."""
    named = re.findall(r"\]\((docs/\w+\.md|CONTRIBUTING\.md|CHANGELOG\.md|CITATION\.cff|LICENSE|SECURITY\.md)", README)
    assert {ROOT / name for name in named} >= {*PAGES} - {ROOT / "README.md"}
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "SECURITY.md"} <= {*named}


def test_evidence_on_the_first_screen_is_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    first = " ".join(README.split("## What holds")[0].split())
    answers = claims.headlines()
    assert f"each of the {len(answers)} claims, of both papers and of the field since" in first
    lines = sum(len(claim.lines) for claim in claims.CLAIMS)
    assert f"{lines} comparisons under {len(answers)} claims" in README
    assert f"{len(answers)} claims, of both papers" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"So far, {listing_claims.claims(answers)[-1]}." in first
    assert f"{len([*(ROOT / 'published').glob('*/desk*/result.json')])} of its runs are" in first
    found = [json.loads(path.read_text()) for path in (ROOT / "published").glob("spos-correlation/desk*/result.json")]
    evidence = first.split("A night on two cores")[1].split("all]")[0]
    alone = f" (cost alone: {fmean(each['kendall_tau_cost'] for each in found):.2f})"
    assert alone in evidence
    cells = [json.loads(path.read_text()) for path in (ROOT / "published").glob("cifar10-eval/desk*/result.json")]
    errors = [cell["test_error"] for cell in cells]
    assert f"{min(errors):.0f} to {max(errors):.0f} % test error" in evidence
    effects = re.findall(r"−?\d\.\d\d+(?: \[.+?\])?", evidence.replace(alone, ""))
    lines = "\n".join(listing_claims.markdown(answers))
    assert effects
    assert all(f": {effect}" in lines for effect in effects)
    faults = (ROOT / "tests" / "faults" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^## (.+ faults in real runs)$", faults, re.MULTILINE).group(1) in first
    assert re.search(r"^## (.+ bad inputs) refused$", faults, re.MULTILINE).group(1) in first


def test_the_committed_table_of_claims_is_that_of_the_published_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRO_RUNS", str(tmp_path))
    monkeypatch.setenv("REPRO_PUBLISHED", str(ROOT / "published"))
    answers = rows(claims.headlines())
    with open(ROOT / "figures" / "tables" / "claims.csv", encoding="utf-8") as file:
        held = {row["line"]: (row["verdict"], row["effect"] and float(row["effect"])) for row in csv.DictReader(file)}
    effects = {row["line"]: "" if row["effect"] is None else pytest.approx(row["effect"]) for row in answers}
    assert held == {row["line"]: (row["verdict"], effects[row["line"]]) for row in answers}


def test_evidence_on_the_first_screen_comes_with_the_command_that_makes_it():
    bullets = re.findall(r"^- .+?(?=^- |^$)", README.split("## What holds")[0], re.MULTILINE | re.DOTALL)
    assert len(bullets) == 6
    assert all(quoted(bullet) or "desk" in bullet or "docs/gpu.md" in bullet for bullet in bullets)


def test_our_speed_is_what_was_measured():
    found = json.loads((ROOT / "figures" / "speed" / "cpu.json").read_text())["results"]
    words = {"order 1": "first order", "order 2": "second order"}
    for case in (case for case in found if case["size"] == "paper"):
        name, ratios, memory = case["case"], case["ratios"]["ours"], case["peak_mib"]
        for old, new in words.items():
            name = name.replace(old, new)
        (row,) = re.findall(rf"^\| {name} \|(.+)\|$", SPEED, re.MULTILINE)
        seconds = [f"{case['median'][formulation]:#.3g} s" for formulation in ("plain", "ours")]
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        cells = [*seconds, ratio, f"{memory['ours'] / memory['plain']:.2f}", f"{case['fraction_of_floor']:.0%}"]
        shown = [cell.strip().replace(" %", "%") for cell in row.split("|")]
        for value, cell in zip(cells, shown, strict=True):
            assert cell.startswith(value), (name, value, cell)


def test_both_papers_and_the_package_can_be_cited():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (repro.__version__, "MIT")
    assert "The maintainers of repro" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    names = ["Differentiable Architecture Search", "Single Path One-Shot Neural Architecture Search"]
    for name, paper in zip(names, cited["references"], strict=True):
        assert name in paper["title"]
        assert paper["authors"][0]["family-names"] in README
        assert {paper["url"], paper["repository-code"]} <= {*re.findall(r"\]\((http[^)]+)\)", README)}
    addresses = {paper[key] for paper in cited["references"] for key in ("url", "repository-code")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*project["urls"].values()} == addresses
    assert repro.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
