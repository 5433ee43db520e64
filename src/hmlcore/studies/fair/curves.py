"""The scores of the comparison, family by family: over load, distance and length, or row by row."""

import math

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.crowd import crowded
from hmlcore.figures.marks import accuracy_axis, add_chance, add_limit, add_seeds, doubling_axis, panels
from hmlcore.figures.style import GREY, MixerStyle, mixer_style, rounded, stamp
from hmlcore.results import ResultSet
from hmlcore.results.statistics import seed_interval
from hmlcore.studies.fair import ROWS
from hmlcore.studies.fair.families import FAMILY
from hmlcore.studies.fair.gate import CHANCE, check_whole, reached, scores_by_condition
from hmlcore.studies.kit.figure import CROWD, SEEDS, Figure
from hmlcore.studies.kit.scores import CONDITIONS

_OVER = {
    "copy": ("delay", "silence, tokens"),
    "recall": ("pairs", "pairs"),
    "needle": ("length", "length, tokens"),
    "parity": ("length", "length, symbols"),
    "sums modulo 5": ("length", "length, symbols"),
}
"""Case → the column that it is drawn over, and what its axis says."""
_OWN_MARKS = {
    "HML (oscillator)": ("circle-open", "dash"),
    "HML (rotors)": ("diamond", "dot"),
    "HML (leapfrog)": ("square-open", "dashdot"),
    "matched gated DeltaNet": ("star-open", "dash"),
    "Mamba-2 + rotation": ("triangle-left", "dot"),
}
"""Rows whose mixer has another row as well."""


def row_style(row: str) -> MixerStyle:
    """A row in the color of its mixer, with a mark of its own."""
    style = mixer_style(ROWS[row])
    symbol, dash = _OWN_MARKS.get(row, (style.symbol, style.dash))
    return MixerStyle(row, style.color, symbol, dash)


def fair_kept(results: ResultSet) -> go.Figure:
    """What has to be kept: a message over a silence, values by their keys, a needle in a haystack."""
    return _by_condition(results, ("copy", "recall", "needle"))


def fair_carried(results: ResultSet) -> go.Figure:
    """What has to be carried along: sums modulo 2 and 5; rotors as they are snapped."""
    return _by_condition(results, ("parity", "sums modulo 5"))


def _by_condition(results: ResultSet, cases: tuple[str, ...]) -> go.Figure:
    """Accuracy over what makes a case harder, a panel a case; dotted: where training ends; dashed: chance."""
    rows = _scores(results)
    rows = rows[rows["task"].isin(cases)]
    fig, cells = panels(cases, "", "accuracy")
    for case, where in zip(cases, cells, strict=True):
        x, title = _OVER[case]
        here = rows[rows["task"] == case].dropna(subset=[x])
        for row in ROWS:
            own = here[here["variant"] == row]
            if len(own):
                add_seeds(fig, own, x, what="accuracy", binomial=True, style=row_style(row), where=where)
        if len(here):
            fig.update_xaxes(**doubling_axis(here[x]), title_text=title, **where)
            add_chance(fig, here[x], CHANCE.get(case, _one_in), where)
            add_limit(fig, float(here.loc[here["within"], x].max()), (0, 1), "the longest of training", where)
    accuracy_axis(fig)
    return crowded(stamp(fig, results, rows["n"]))


def fair_expressions(results: ResultSet) -> go.Figure:
    """The right value of a nested expression, row by row; dashed: chance."""
    return _row_by_row(results, "expressions", "accuracy", CHANCE["expressions"], "chance")


def fair_books(results: ResultSet) -> go.Figure:
    """Bits a byte of books that nobody learned from, row by row; dashed: the 5-gram model."""
    check_whole(results)
    floor = abs(float(reached(results)["needed"]["bytes"]))
    return _row_by_row(results, "bytes", "bits a byte", floor, "5-gram model")


def _one_in(pairs: float) -> float:
    """A guess among the values of a sequence of recall."""
    return 1 / pairs


def _row_by_row(results: ResultSet, case: str, what: str, level: float, name: str) -> go.Figure:
    """A line a row, the best on top: seeds as dots, their mean with its interval; a level to compare with."""
    rows = _scores(results)
    rows = rows[rows["task"] == case]
    rows = rows.assign(value=rows["value"].abs()).dropna(subset="value")
    order = list(rows.groupby("variant")["value"].mean().sort_values(ascending=case != "bytes").index)
    fig, (where,) = panels([""], what, "", height=40 + 26 * len(order), legend=False)
    for row in order:
        own, style = rows[rows["variant"] == row].sort_values("seed"), row_style(row)
        found = seed_interval(own["value"].tolist())
        half = None if found.high is None else [rounded([found.high - found.mean])[0]]
        said = f"<b>{row}</b> mean of {found.n}: {found.mean:.4g}"
        said += "" if found.low is None else f"<br>95 %: {found.low:.4g} to {found.high:.4g}"
        fig.add_scatter(
            x=rounded(own["value"]), y=[row] * len(own), mode="markers", name=row, meta="seeds",
            marker={"color": style.color, "symbol": style.symbol, "size": 7, "opacity": 0.5},
            hovertext=[f"{row}, seed {x['seed']}<br>{what} {x['value']:.4g}" for x in own.to_dict("records")],
            hoverinfo="text", **where,
        )  # fmt: skip
        bars = {"type": "data", "array": half, "color": style.color, "thickness": 1.5, "width": 0}
        mark = {"color": style.color, "symbol": "line-ns-open", "size": 14, "line_width": 2}
        fig.add_scatter(
            x=rounded([found.mean]), y=[row], mode="markers", name=row, meta="mean", hovertext=[said],
            hoverinfo="text", marker=mark, error_x=bars, **where,
        )  # fmt: skip
    fig.add_scatter(
        x=rounded([level, level]), y=[order[0], order[-1]], mode="lines", meta="chance", hoverinfo="text",
        hovertext=[f"{name}: {level:.3f}"] * 2, line={"color": GREY, "dash": "dash", "width": 1.5}, **where,
    )  # fmt: skip
    ends = [level, *rows["value"]]
    margin = 0.04 * (max(ends) - min(ends))
    fig.update_xaxes(range=rounded([min(ends) - margin, max(ends) + margin]))
    fig.update_yaxes(categoryorder="array", categoryarray=order, title_text="", showgrid=True)
    fig.update_layout(margin_l=160)
    return stamp(fig, results, rows["n"])


def _scores(results: ResultSet) -> pd.DataFrame:
    """The test's scores by condition, with what a hover tells of a run; a diverged run scores 0,
    and is not drawn among bits.

    Raises: HmlcoreError naming the cases that are not there yet.
    """
    check_whole(results)
    scores = scores_by_condition(results).rename(columns={"score": "value"})
    runs = results.runs()[["mixer", "lr", "d_model", "state_bytes"]]
    here = ["spec_hash", *(c for c in CONDITIONS if c in scores)]
    counts = results.metric("score", split="test").reindex(columns=[*here, "n"])
    scores = scores.merge(counts, how="left", on=here)
    scores = scores.merge(runs, left_on="spec_hash", right_index=True)
    lost = scores["task"].map({case: math.nan if family == "books" else 0.0 for case, family in FAMILY.items()})
    return scores.assign(value=scores["value"].where(scores["value"] != float("-inf"), lost))


FIGURES = {
    "fair_kept": Figure(
        "fair", fair_kept,
        "What has to be kept: a message over a silence, values by their keys, a needle in a haystack. Dotted: "
        f"where training ends; dashed: chance. {CROWD} {SEEDS}",
    ),
    "fair_carried": Figure(
        "fair", fair_carried,
        "What has to be carried along, to and beyond the lengths of training, rotors snapped where validation "
        f"says so. Dotted: where training ends; dashed: chance. {CROWD} {SEEDS}",
    ),
    "fair_expressions": Figure(
        "fair", fair_expressions,
        "Nested expressions: how many values are right. Each dot is a seed, a stroke their mean with its 95 % "
        "interval where there are five seeds or more; dashed: chance.",
    ),
    "fair_books": Figure(
        "fair", fair_books,
        "Bits a byte of books that nobody learned from, the best on top. Each dot is a seed, a stroke their "
        "mean with its 95 % interval where there are five seeds or more; dashed: a 5-gram model of that text.",
    ),
}  # fmt: skip
