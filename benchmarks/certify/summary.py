"""What the stages found, for people: a line for each stage, and a table of the steps."""

from pathlib import Path
from typing import Any

from benchmarks.certify import stages

HEAD = "| step | plain, s | fastest that passed | s | times as fast | hours a run | peak, MiB | its limit takes |"


def line(held: dict[str, Any], seconds: float, status: int | None) -> str:
    """Return what became of a stage, with a line for each measurement that failed or was cut off."""
    rows, name = held["rows"], held["stage"]
    if "error" in held or (status not in (0, None) and not rows):
        return f"{name}: not run, {held.get('error', f'its process ended: {status}')}"
    lacking = {row: found.get("error") or found.get("unfinished") for row, found in rows.items()}
    lacking = {row: reason for row, reason in lacking.items() if reason}
    text = f"{name}: {len(rows) - len(lacking)} measured, {len(lacking)} not"
    text += ("" if held["finished"] else "; more is left") + f" ({seconds:.0f} s)"
    wrong = [f"  {row}: did not pass" for row, found in rows.items() if found.get("passed") is False]
    return "\n".join([text, *(f"  {row}: {reason}" for row, reason in lacking.items()), *wrong])


def fastest(folder: Path, case: str) -> tuple[str, dict[str, Any]] | None:
    """Return the fastest variant of a case whose numbers passed, with what was measured of it; None where none did."""
    rows = stages.read(folder, "steps")["rows"]
    passed = {name: row for name, row in rows.items() if row.get("case") == case and row.get("passed")}
    passed = {row["variant"]: row for row in passed.values() if row["variant"] != "plain"}
    return min(passed.items(), key=lambda item: item[1]["seconds"], default=None)


def write(folder: Path) -> str:
    """Write summary.md, the table of the steps, and return it."""
    rows = stages.read(folder, "steps")["rows"]
    machine = stages.read(folder, "facts")["rows"].get("machine", {}).get("machine", "this machine")
    lines = [f"Seconds a step on {machine}.", "", HEAD, "|" + "---|" * HEAD.count(" |")]
    for case in dict.fromkeys(row["case"] for row in rows.values() if "seconds" in row):
        plain, best = rows.get(f"{case}: plain", {}), fastest(folder, case)
        name, row = best or ("none", {})
        times = plain["seconds"] / row["seconds"] if "seconds" in plain and row else None
        cells = [case, plain.get("seconds"), name, row.get("seconds"), times, row.get("hours"), row.get("peak_mib")]
        lines.append("| " + " | ".join(map(_cell, [*cells, _limit(folder, case, row)])) + " |")
    text = "\n".join(lines)
    (folder / "summary.md").write_text(text + "\n")
    return text


def _limit(folder: Path, case: str, row: dict[str, Any]) -> float | None:
    """Return the share of a step's seconds that its bytes need, or its operations if that is more; None: not known."""
    rows, rates = stages.read(folder, "steps")["rows"], stages.read(folder, "facts")["rows"].get("rates")
    kind = next((kind for kind in ("bf16", "tf32") if kind in row.get("variant", "")), "float32")
    # TF32 moves and computes as much as float32
    counted = rows.get(f"{case}: {'bf16' if kind == 'bf16' else 'float32'}", {}).get("counted")
    if not (counted and rates and row):
        return None
    needed = (
        counted["bytes"] / rates["copied bytes a second"],
        counted["operations"] / rates[f"{kind} operations a second"],
    )
    return max(needed) / row["seconds"]


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str("" if value is None else value)
