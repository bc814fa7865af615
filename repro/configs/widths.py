"""How wide the cells of others are where DARTS trains them in its own setup (Tables 1, 2 and 4; Figure 3).

The paper prints their numbers of parameters, not their widths: these are the widths that come nearest to them.
"""

from repro.errors import UsageError

# Data set -> channels, or hidden size, of the paper's own networks there, and of the cells of others beside them
WIDTHS = {
    "cifar10": (36, {"NASNET": 32, "AMOEBANET": 36}),
    "ptb": (850, {"ENAS_RNN": 787}),
    "wikitext-2": (700, {"ENAS_RNN": 655}),
}
WIDTHS |= {"digits": WIDTHS["cifar10"], "english": WIDTHS["ptb"]}  # which stand in for them


def reference_cells(data: str) -> list[str]:
    """Return the names of the cells of others that are trained on `data`; UsageError where no width is known."""
    if data not in WIDTHS:
        raise UsageError(f"no width is known for a reference cell on {data!r}: {_known()}")
    return list(WIDTHS[data][1])


def reference_width(cell: str, data: str, width: int) -> int:
    """Return the channels or the hidden size of a reference cell beside networks of `width` on `data`.

    Beside the paper's width it is as in the table, beside another one in the same proportion. UsageError where the
    table has none.
    """
    if cell not in reference_cells(data):
        raise UsageError(f"no width is known for the reference cell {cell!r} on {data!r}: {_known()}")
    own, others = WIDTHS[data]
    return max(1, round(others[cell] * width / own))


def _known() -> str:
    known = "; ".join(f"{', '.join(cells)} on {data}" for data, (_, cells) in WIDTHS.items())
    return f"take {known}, or add it to WIDTHS in repro/configs/widths.py"
