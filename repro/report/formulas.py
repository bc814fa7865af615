"""Formulas in Markdown as pictures, so that a page shows them without a script or a font from elsewhere."""

import base64
import html
import io
import re

from matplotlib import mathtext, rc_context, rcdefaults, rcParams
from matplotlib.font_manager import FontProperties

# A stretch of code, which stays as it is, or $$...$$, or $...$ that is not a price
FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<display>.+?)\$\$|(?<![\\$\w])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?![\w$])",
    re.DOTALL,
)
POINTS, LARGE = 12.5, 16  # within a line, and on one of its own


def drawn(text: str) -> str:
    """Return Markdown with every formula as an image that has the formula's source as its alternative text.

    What cannot be drawn stays as it is written.
    """
    return FORMULA.sub(_drawn, text)


def _drawn(match: re.Match) -> str:
    if match["code"]:
        return match["code"]
    source = " ".join((match["display"] or match["inline"]).split())
    try:
        depth, picture = _picture(
            *((source.replace(r"\frac", r"\dfrac"), LARGE) if match["display"] else (source, POINTS))
        )
    except (ValueError, RuntimeError, RecursionError):  # no formula, or one that cannot be drawn
        return html.escape(match[0])
    image = (
        f'<img class="math" alt="{html.escape(source)}" style="vertical-align:-{depth:.1f}pt" '
        f'src="data:image/svg+xml;base64,{base64.b64encode(picture).decode()}">'
    )
    return f'<span class="formula">{image}</span>' if match["display"] else image


def _picture(source: str, points: float) -> tuple[float, bytes]:
    """Return the depth below the line, in points, and the SVG of a formula."""
    buffer = io.BytesIO()
    with rc_context():
        rcdefaults()
        rcParams.update({"svg.hashsalt": "repro", "mathtext.fontset": "stix"})
        size = FontProperties(size=points)
        depth = mathtext.math_to_image(f"${source}$", buffer, dpi=72, format="svg", prop=size)
    return depth, re.sub(rb"<metadata>.*?</metadata>", b"", buffer.getvalue(), flags=re.DOTALL)
