"""Runs of others: every file of every kind of run, changed place by place, and the report of them, without a kernel."""

import copy
import json
import shutil
from contextlib import suppress
from pathlib import Path

import nbformat

from repro.files import make_folder, write_bytes
from repro.report import film, pages, report, style

OLD = Path(__file__).parent / "old_runs"  # a whole reproduction, without the files of which the report makes figures
CURVE = [{"epoch": epoch, "accuracy": 40.0 + epoch, "gene": [epoch]} for epoch in range(3)]


def whole(folder):
    """Write a run of every kind into a folder, with all files that the report reads; return their folders."""
    shutil.copytree(OLD, folder)
    genotype = json.loads((OLD / "cifar10-search" / "smoke" / "genotype.json").read_text())
    path = {"xi": 0.5, "alpha": [2.0, 1.0], "weight": [-2.0, 1.0], "fixed_point": 1.0}
    judged = [{"run": seed, "epoch": epoch, "genotype": genotype} for seed in (0, 1) for epoch in (1, 2)]
    made = {
        "bilevel-toy/smoke/trajectories.json": [path],
        "cifar10-progress/smoke/snapshots.json": [{**row, "valid_error": 9.0} for row in judged],
        "ptb-progress/smoke/snapshots.json": [{**row, "valid_perplexity": 9.0} for row in judged],
        "spos-correlation/smoke/networks.json": [{"inherited": n, "stand_alone": 2 * n} for n in (1, 2, 3)],
    }
    for name, value in made.items():
        (folder / name).write_text(json.dumps(value))
    for part in ("evolution", "random"):
        (folder / "spos-blocks" / "smoke" / part).mkdir()
        (folder / "spos-blocks" / "smoke" / part / "metrics.jsonl").write_text(lines(CURVE))
    return sorted(path.parent for path in folder.glob("*/smoke/params.json"))


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(file):
    text = file.read_text()
    return [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)


def write(file, value):
    file.write_text(lines(value) if file.suffix == ".jsonl" else json.dumps(value))


def files(run):
    """The files of a run that hold JSON, by their places in it."""
    found = [path for path in run.rglob("*.json*") if path.suffix in (".json", ".jsonl")]
    return sorted(str(path.relative_to(run)) for path in found)


def places(value, depth=4):
    """The places of all entries of a JSON value, of a list the first two."""
    entries = [*value.items()] if isinstance(value, dict) else []
    entries += [*enumerate(value)][:2] if isinstance(value, list) else []
    for key, entry in entries:
        yield (key,)
        if depth > 1:
            yield from ((key, *place) for place in places(entry, depth - 1))


def changed(value, place, change):
    """A copy of a JSON value in which the holder of that place was changed at its last key."""
    value = holder = copy.deepcopy(value)
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])
    return value


def put(new):
    return lambda holder, key: holder.__setitem__(key, new)


def rename(new):
    """A change of the name of an entry."""
    return lambda holder, key: holder.update({new: holder.pop(key)}) if isinstance(holder, dict) else None


def drop(holder, key):
    del holder[key]


def copied(run, number):
    """A copy of a run, and another run by its own parameters, where they allow that."""
    target = run.with_name(f"foreign-{number}")
    shutil.copytree(run, target)
    held = read(target / "params.json")
    with suppress(KeyError):
        held["parameters"]["seed" if "seed" in held["parameters"] else "steps"] = 1000 + number
    write(target / "params.json", held)
    return target


def shown(patch):
    """A list of the outputs that are shown from now on; figures are not rendered, and graphs are not laid out."""
    outputs = []

    def show(bundle, **metadata):
        outputs.append(nbformat.v4.new_output("display_data", data=bundle, metadata=metadata))

    def save(figure, stem, run):
        write_bytes(make_folder(stem.parent) / f"{stem.name}.png", b"")
        style.mark_figure(figure, run)
        show({"image/png": ""}, **{"image/png": {"alt": style.marked_words(figure.get_label(), run)}})

    def render(source, stem, formats):
        make_folder(stem.parent)
        stem.with_suffix(".svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        return [stem.with_suffix(".svg")], ""

    patch.setattr(style, "show", show)
    patch.setattr(style, "save", save)
    patch.setattr(style, "render", render)
    patch.setattr(film, "DPI", 20)
    return outputs


def made(patch, folder):
    """The report's notebook as it is executed on the runs folder, but here, and its page."""
    outputs, names = shown(patch), {}
    notebook = nbformat.read(report.SOURCE, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source.replace('"report"', repr(str(folder))).replace("snapshot.begin()", ""), names)
            cell.outputs = list(outputs)
            outputs.clear()
    return notebook, pages.page(pages.stripped(notebook), made_from="", links=lambda _: None, report=True)


def said(outputs):
    """All text that is shown as plain text or as Markdown."""
    return "\n".join(each.data.get("text/plain", each.data.get("text/markdown", "")) for each in outputs)
