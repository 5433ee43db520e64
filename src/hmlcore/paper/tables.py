"""Tables of the studies as a page of the paper takes them: labelled, within its width, long cells in lines."""

import re
import textwrap

from hmlcore.errors import require

_WIDEST = 100
"""Characters in a row of a page; wider tables have their cells in several lines."""
_SIGN = re.compile(r"\\ensuremath\{[^{}]*\}|\\[a-z]+\{\}|\\")


def fitted_table(latex: str, name: str) -> str:
    r"""The LaTeX of :class:`hmlcore.figures.tables.Table`, with ``\label{tab:name}``, within the page.

    Raises: HmlcoreError where it has no caption, and so does not float.
    """
    require(latex.count(r"\caption{") == 1, f"table {name} has no caption: give render() one, for the paper")
    before, body = latex.split(r"\begin{tabular}", 1)
    body, after = body.split(r"\end{tabular}", 1)
    start, rows = body.split("\\midrule\n", 1)
    rows, end = rows.split(r"\bottomrule", 1)
    cells = [line.removesuffix(r" \\").split(" & ") for line in rows.splitlines()]
    if max(sum(map(_width, row)) for row in cells) > _WIDEST:
        most = _WIDEST // len(cells[0])
        cells = [[_in_lines(cell, most) for cell in row] for row in cells]
        rows = "".join(" & ".join(row) + " \\\\\n\\addlinespace[3pt]\n" for row in cells)
    body = f"{start}\\midrule\n{rows}\\bottomrule{end}"
    before = before.replace("[t]", "[tbp]").rstrip()
    after = after.replace("\\smallskip{\\footnotesize ", "\\hmlnote{")
    return f"{before}\n\\label{{tab:{name}}}\n\\hmlfit{{\\begin{{tabular}}{body}\\end{{tabular}}}}{after}"


def _width(cell: str) -> int:
    """How many characters a reader sees, about."""
    return len(_SIGN.sub("x", cell)) + 2


def _in_lines(cell: str, most: int) -> str:
    """The cell in lines of about `most` characters; what is in brackets stays together."""
    if _width(cell) <= most:
        return cell
    joined = re.sub(r"\([^()]*\)", lambda found: found[0].replace(" ", "~"), cell)
    lines = textwrap.wrap(joined, most, break_long_words=False, break_on_hyphens=False)
    return r"\begin{tabular}[t]{@{}l@{}}" + r" \\ ".join(lines) + r"\end{tabular}"
