"""What tests of the report share: a folder of runs at every stage, and what an HTML page holds."""

from html.parser import HTMLParser

import nbformat
import numpy as np
import torch

from repro.configs.registry import find
from repro.darts.discretise import conv_genotype, recurrent_genotype
from repro.execution.notebooks import compute
from repro.runs.run import open_run
from repro.spaces.genotypes import PUBLISHED, to_json


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Page(HTMLParser):
    """What a page loads, where its links lead, what it has to lead to, and its text by heading of level 2."""

    def __init__(self, path):
        super().__init__()
        self.source, self.path, self.files = path.read_text(encoding="utf-8"), path, contents(path.parent)
        self.ids, self.links, self.contents, self.images, self.loads = set(), [], [], [], []
        self.sections, self.title, self.inside = {"": ""}, "", []
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values and values.get("class") != "anchor-link":
            (self.contents if "nav" in self.inside else self.links).append(values["href"])
        if tag == "img":
            self.images.append(values)
        self.loads += [tag] if tag in ("script", "link", "iframe", "object", "embed", "video", "audio") else []
        if tag in ("nav", "style", "h2"):
            self.inside.append(tag)
        if tag == "h2":
            self.title = ""

    def handle_endtag(self, tag):
        if tag in self.inside:
            self.inside.remove(tag)
        if tag == "h2":
            self.sections[self.title.removesuffix("¶")] = ""
            self.title = self.title.removesuffix("¶")

    def handle_data(self, data):
        if "h2" in self.inside:
            self.title += data
        elif not {"nav", "style"} & set(self.inside):
            self.sections[self.title] += data


def curves(parts, measures, count, cells):
    """Metrics of a search: falling curves and the shares, with the cell, of each epoch."""
    for epoch in range(count):
        random = np.random.default_rng(epoch)
        shares = {cell: torch.from_numpy(random.dirichlet(np.ones(ops), edges)) for cell, (edges, ops) in cells.items()}
        values = {f"{part}_{measure}": 90.0 / (1 + epoch) for part in parts for measure in measures}
        alphas = [share.log() for share in shares.values()]
        genotype = to_json((conv_genotype if len(alphas) == 2 else recurrent_genotype)(*alphas))
        lists = {cell: share.tolist() for cell, share in shares.items()}
        shown = lists if len(lists) == 2 else lists["recurrent"]
        yield {"epoch": epoch, **values, "genotype": genotype, "softmax_alpha": shown, "seconds": 60.0}


def images(count):
    return list(curves(("train", "valid"), ("loss", "error"), count, {"normal": (2, 8), "reduce": (2, 8)}))


def begin(name, rows, **overrides):
    """A run that was stopped after some epochs."""
    run = open_run(find(name), "smoke", overrides)
    with run.session():
        for row in rows:
            run.log(row)
    return run


def finish(name, rows, result, **overrides):
    """A finished run, with an executed notebook of one cell."""
    run = begin(name, rows, **overrides)
    run.finish(result)
    text = nbformat.v4.new_markdown_cell(f"# {name}\n\nThe report: [here](90_report.ipynb)")
    nbformat.write(nbformat.v4.new_notebook(cells=[text]), run.path / "notebook.ipynb")
    return run


def half_finished():
    """Figure 2 complete, one search of two, a second one stopped, an evaluation, and a recurrent search not begun."""
    toy = open_run(find("bilevel-toy"), "smoke", {"steps": 30})
    toy.finish(compute(toy))  # as repro.recipe leaves it: without a notebook
    finish("cifar10-search", images(3), {"valid_error": 30.0})
    begin("cifar10-search", images(1), seed=1)
    genotype = to_json(PUBLISHED["DARTS_V2"])
    cell = {"parameters_millions": 3.35, "genotype": genotype}
    training = [
        {"epoch": 0, "train_loss": 1.0, "train_error": 40.0},
        {"epoch": 1, "train_loss": 0.5, "train_error": 9.0},
    ]
    for seed, error in enumerate((10.0, 12.0)):
        finish("cifar10-eval", training, {"test_error": error, **cell}, seed=seed)


def failed():
    """A recurrent search that failed in its second epoch, and a folder whose parameters are damaged."""
    rows = list(curves(("train", "valid"), ("perplexity",), 1, {"recurrent": (10, 5)}))
    run = begin("ptb-search", rows)
    run.fail(RuntimeError("planted"))
    damaged = run.path.with_name("smoke,seed=7")
    damaged.mkdir()
    (damaged / "params.json").write_text("{")
