"""Tables: one DataFrame, rendered as HTML for the book and as booktabs LaTeX for the paper."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from hmlcore.figures.style import DIRECTIONS, in_order, mixer_style
from hmlcore.results import ResultSet
from hmlcore.results.resultset import select
from hmlcore.results.text import bytes_text
from hmlcore.results.tuning import at_edge, rates_text, tuned

_LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "·": r"$\cdot$", "–": "--", "~": r"\textasciitilde{}", "^": r"\^{}"}
    | {character: f"\\{character}" for character in "&%$#_{}"}
)
_PARTS = {"d_model": "width", "direction": "direction"}
"""Columns of runs within which mixers are compared, and what tables call them."""


class Table(NamedTuple):
    """A rendered table."""

    html: str
    latex: str

    def _repr_html_(self) -> str:
        return self.html


def render(frame: pd.DataFrame, *, caption: str = "", label: str = "", note: str = "") -> Table:
    """`frame` without its index as HTML and as LaTeX (booktabs); numbers as they are printed in it.

    Args:
        caption, label: of the LaTeX table, which floats if there is a caption.
        note: the line under it: profile, device, seeds, and what is not equal between its rows.
    """
    shown = frame.map(_text)
    html = shown.to_html(index=False, border=0, classes="hml-table", justify="left")
    if note:
        html += f'\n<p class="hml-stamp"><small>{_escaped(note)}</small></p>'
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    latex = shown.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    latex = latex.to_latex(
        hrules=True,
        column_format="".join("r" if number else "l" for number in numeric),
        caption=caption or None,
        label=label or None,
        position="t" if caption else None,
        position_float="centering" if caption else None,
    )
    return Table(html + "\n", _with_note(latex, note))


def models_table(results: ResultSet) -> Table:
    """The models of an experiment: parameters, state of one sequence, cost, seeds and learning rate.

    A row a mixer, width and direction. The state is given at the length trained on and at the longest
    evaluated. The note says what is not equal between mixers.
    """
    frame = models_frame(results)
    note = ". ".join([tuned(results).stamp(), *unequal(frame)])
    for column in ("state, training", "state, longest"):
        frame[column] = [bytes_text(count) for count in frame[column]]
    return render(frame, note=note, caption=f"Models of the experiment {results.experiment}.")


def models_frame(results: ResultSet) -> pd.DataFrame:
    """The rows of :func:`models_table`, state in bytes."""
    chosen, edge = tuned(results), at_edge(results)
    lines: list[dict[str, Any]] = []
    parts = [column for column in _PARTS if column in chosen.runs()]
    order = {mixer: number for number, mixer in enumerate(in_order(chosen.mixers))}
    key: tuple[Any, ...]
    for key, rows in chosen.frame.groupby(["mixer", *parts], sort=True):
        part = dict(zip(parts, key[1:], strict=True))
        tried = select(results.frame, {"mixer": key[0], **part})
        trained = rows[rows["metric"] == "loss"] if (rows["metric"] == "loss").any() else rows
        place = [DIRECTIONS.index(value) if value in DIRECTIONS else value for value in key[1:]]
        line: dict[str, Any] = {"order": (order[key[0]], *place), "mixer": mixer_style(key[0]).label}
        line |= {_PARTS[column]: value for column, value in part.items()}
        line |= {
            "parameters": int(rows["parameters"].max()),
            "state, training": int(trained["state_bytes"].max()),
            "state, longest": int(rows["state_bytes"].max()),
            "MFLOPs a token": f"{trained['flops_per_token'].max() / 1e6:.3g}",
            "seeds": rows["seed"].nunique(),
            "learning rate": rates_text(rows, edge),
            "rates tried": tried["lr"].nunique(),
        }
        lines.append(line)
    lines.sort(key=lambda line: line["order"])
    return pd.DataFrame(lines).drop(columns="order")


def unequal(frame: pd.DataFrame) -> list[str]:
    """What a table of models must admit: parameters more than 1 % apart, unequal state, seeds or tuning.

    Args:
        frame: columns parameters, "state, training", seeds, "rates tried", and width and direction where
            there are several; mixers are compared within these.
    """
    parts = [column for column in _PARTS.values() if column in frame]
    groups = [part for _, part in frame.groupby(parts)] if parts else [frame]
    remarks = []
    spread = max(part["parameters"].max() / part["parameters"].min() - 1 for part in groups)
    if spread > 0.01:
        remarks.append(f"Parameters differ by up to {spread:.0%} at one width")
    if any(part["state, training"].nunique() > 1 for part in groups):
        remarks.append("State bytes are not equal at one width")
    if frame["seeds"].nunique() > 1:
        remarks.append("Seeds are not equal")
    if any(part["rates tried"].nunique() > 1 for part in _by_direction(frame).values()):
        remarks.append("Tuning budgets are not equal")
    elif frame["rates tried"].nunique() > 1:
        tried = [f"{part['rates tried'].iloc[0]} {name}" for name, part in _by_direction(frame).items()]
        remarks.append(f"Learning rates tried: {', '.join(tried)}")
    return remarks


def rows_of(table: pd.DataFrame) -> Iterable[tuple[Any, pd.Series]]:
    """Label and row, one after another: of labels pandas says that they can be hashed, and no more."""
    return table.iterrows()


def _by_direction(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if "direction" not in frame:
        return {"": frame}
    return {str(name): part for name, part in frame.groupby("direction", sort=False)}


def _text(value) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _with_note(latex: str, note: str) -> str:
    if not note:
        return latex
    note = note.translate(_LATEX)
    return latex.replace("\\end{tabular}\n", f"\\end{{tabular}}\n\n\\smallskip{{\\footnotesize {note}}}\n", 1)
