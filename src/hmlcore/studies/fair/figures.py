"""The comparison in one figure and five tables: the scoreboard, scores, what each row was given, when it had
learned, and what was tried for the gate alone."""

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import panels
from hmlcore.figures.style import GREY, mixer_style, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.tuning import at_edge, tuned
from hmlcore.studies.fair import RIVALS, ROWS, curves
from hmlcore.studies.fair.families import FAMILIES, FAMILY, GATE_TRIAL
from hmlcore.studies.fair.gate import REACHED, reached, scores_by_condition
from hmlcore.studies.fair.scoreboard import (
    BETTER,
    MARGIN,
    MARGIN_TEXT,
    NOT_WORSE,
    OPEN,
    WORSE,
    scoreboard,
)
from hmlcore.studies.kit.figure import Figure, TableOf
from hmlcore.studies.kit.scores import condition_scores

_COLORS = {
    BETTER: mixer_style("hml").color,
    NOT_WORSE: mixer_style("attention").color,
    WORSE: mixer_style("mamba").color,
    OPEN: GREY,
}
_SYMBOLS = {BETTER: "triangle-right", NOT_WORSE: "circle", WORSE: "triangle-left", OPEN: "circle-open"}


def fair_scoreboard(results: ResultSet) -> go.Figure:
    """HML less each rival in every family: means of paired seeds with their 95% intervals, by verdict.

    Right of the line HML is ahead. Dashed: the margin to which it may be behind and count as not worse.
    """
    return _scoreboard(results, columns=3, height=300)


def fair_strip(results: ResultSet) -> go.Figure:
    """:func:`fair_scoreboard` with its six panels side by side: for a page in print, which is wide and low."""
    fig = _scoreboard(results, columns=len(FAMILIES), height=240)
    fig.update_xaxes(title_text="", tickfont_size=10, tickangle=0)
    table = scoreboard(results)
    for column, family in enumerate(FAMILIES, 1):
        ends = table[table["family"] == family][["low", "effect", "high"]].to_numpy(float)
        fig.update_xaxes(tickvals=[0, _tick(ends[~np.isnan(ends)])], row=1, col=column)
    return fig.update_xaxes(title_text="HML less the rival", row=1, col=1)


def _tick(values: np.ndarray) -> float:
    """The one round number beside 0 that an axis over `values` is labelled with, away from its ends."""
    most = max(values, key=abs, default=0.0)
    steps = (s * 10.0**p for p in range(-3, 1) for s in (1, 2, 3, 4, 5, 6, 8))
    fitting = max((step for step in steps if step <= 0.8 * abs(most)), default=MARGIN_TEXT)
    return round(math.copysign(fitting, most), 4)


def _scoreboard(results: ResultSet, columns: int, height: int) -> go.Figure:
    table, families = scoreboard(results), list(FAMILIES)
    fig, cells = panels(families, "HML less the rival", "", columns=columns, height=height)
    listed = set()
    for family, where in zip(families, cells, strict=True):
        lines = table[(table["family"] == family)]
        verdict: Any
        for verdict, part in lines.dropna(subset=["effect"]).groupby("verdict", sort=False):
            fig.add_scatter(
                x=part["effect"].round(5), y=part["rival"], mode="markers", name=verdict, legendgroup=verdict,
                showlegend=verdict not in listed, meta="mean",
                marker={"color": _COLORS[verdict], "symbol": _SYMBOLS[verdict], "size": 9},
                error_x=_bars(part, _COLORS[verdict]), hovertext=[_hover(x) for x in part.to_dict("records")],
                hoverinfo="text", **where,
            )  # fmt: skip
            listed.add(verdict)
        margin = MARGIN_TEXT if family == "books" else MARGIN
        for x, dash in ((0, "solid"), (-margin, "dash")):
            fig.add_shape(
                type="line", x0=x, x1=x, y0=-0.5, y1=len(RIVALS) - 0.5, layer="below",
                line={"color": GREY, "dash": dash, "width": 1}, **where,
            )  # fmt: skip
        fig.update_yaxes(categoryorder="array", categoryarray=list(reversed(RIVALS)), **where)
        fig.update_yaxes(range=[-0.6, len(RIVALS) - 0.4], showgrid=True, title_text="", **where)
        if lines["effect"].isna().all():
            fig.add_annotation(
                text="not measured at this size", x=0, y=(len(RIVALS) - 1) / 2, showarrow=False,
                font={"color": GREY}, **where,
            )  # fmt: skip
    fig.update_xaxes(nticks=4)
    fig.update_layout(margin_l=150)
    return stamp(fig, results)


def _bars(part: pd.DataFrame, color: str) -> dict:
    high, low = (part["high"] - part["effect"]).fillna(0), (part["effect"] - part["low"]).fillna(0)
    return {
        "type": "data", "symmetric": False, "array": high.round(5), "arrayminus": low.round(5),
        "color": color, "thickness": 1.5, "width": 0,
    }  # fmt: skip


def _hover(line: dict) -> str:
    interval = "" if pd.isna(line["low"]) else f"<br>95 %: {line['low']:+.3f} … {line['high']:+.3f}"
    return f"{line['family']}, {line['rival']}<br>{line['effect']:+.3f}{interval}<br><b>{line['verdict']}</b>"


def fair_verdicts(results: ResultSet) -> Table:
    """The scoreboard in numbers, and whether each family passed its gate."""
    table = scoreboard(results).set_index(["rival", "family"]).to_dict("index")
    lines = [
        {"rival": rival} | {family: _cell(table[rival, family]) for family in FAMILIES} for rival in RIVALS
    ]
    gate = reached(results)
    failed = [str(case) for case in gate.index if not gate["counts"][case]]
    note = f"{results.stamp()} · accuracy, of books the share of bits saved; 95 % interval of paired seeds"
    note += f" · cases that miss the gate: {', '.join(failed) or 'none'}"
    return render(pd.DataFrame(lines), note=note, caption="Results at a glance: HML less each rival.")


def _cell(line: dict) -> str:
    if pd.isna(line["effect"]):
        return line["verdict"]
    interval = "" if pd.isna(line["low"]) else f" ({line['low']:+.3f} … {line['high']:+.3f})"
    return f"{line['effect']:+.3f}{interval} {line['verdict']}"


def fair_scores(results: ResultSet) -> Table:
    """Means over seeds, within the lengths of training and beyond them: accuracy, of bytes the bits."""
    scores = scores_by_condition(results)
    scores = scores.assign(score=scores["score"].abs())  # accuracy, or bits of which the score is the negative
    means = scores.groupby(["variant", "task", "within"])["score"].mean()
    cases = [case for cases in FAMILIES.values() for case in cases]
    lines = []
    for row in ROWS:
        line = {"memory": row}
        for case in cases:
            for within in (True, False):
                if (row, case, within) in means.index:
                    line[case if within else f"{case}, beyond"] = f"{means[row, case, within]:.3f}"
        lines.append(line)
    gate, frame = reached(results), pd.DataFrame(lines).fillna("–")
    best: dict[Any, str] = {case: f"{abs(gate['needed'][case]):.3f}" for case in cases if case in gate.index}
    frame.loc[len(frame)] = {"memory": "needed by one"} | {c: best.get(c, "–") for c in frame if c != "memory"}
    note = f"{results.stamp()} · needed by one: what some row but HML's has to reach where training is hardest"
    return render(frame, note=note, caption="Scores of every memory, within its training and beyond.")


def fair_given(results: ResultSet) -> Table:
    """What tuning chose for each row, case by case: configuration and rate, marked where it is at the edge."""
    best, edge = tuned(results), at_edge(results)
    scores = best.metric("score", split="validation").groupby("spec_hash")["value"].mean()
    runs = best.runs().assign(score=scores)
    top = runs.loc[runs.groupby(["task", "variant"])["score"].idxmax()]
    cells = {
        (run["variant"], run["task"]): f"{run['lr']:g}{' (edge)' * (index in edge)}, {run['configuration']}"
        for index, run in top.iterrows()
    }
    cases = [case for case in FAMILY if case in set(top["task"])]
    lines = [
        {"memory": row} | {case: cells.get((row, case), "–").removesuffix(", the only one") for case in cases}
        for row in ROWS
    ]
    trials = runs.groupby(["task", "variant"]).size().max()
    note = f"{results.stamp()} · validation · of up to {trials} configurations each, every one at every rate"
    note += " · unnamed: the only configuration, of Mamba-2 + rotation the first"
    return render(pd.DataFrame(lines), note=note, caption="What each memory was given, as tuning chose it.")


def fair_tried(results: ResultSet) -> Table:
    """The cases that were tried for the gate alone: accuracy on validation, of byte pairs the bits a byte."""
    scores = condition_scores(results, "validation")
    best = scores.groupby(["variant", "task"])["score"].max().abs()
    floor = results.metric("ngram_bits_per_byte", task="byte pairs")["value"].mean()
    needed = {"memory": "needed by one"} | {case: f"{REACHED:.3f}" for case in GATE_TRIAL}
    lines = [
        {"memory": row} | {case: f"{best[row, case]:.3f}" for case in GATE_TRIAL if (row, case) in best.index}
        for row in ROWS
        if any(row in tried for tried in GATE_TRIAL.values())
    ]
    frame = pd.DataFrame([*lines, needed | {"byte pairs": f"{floor:.3f}"}]).fillna("–")
    note = f"{results.stamp()} · validation, the best configuration at the middle rate"
    return render(frame, note=note, caption="What was tried where no memory reached the gate.")


def fair_solved(results: ResultSet) -> Table:
    """Seeds that solved each case in training, and the median of the steps to .9."""
    runs = results.runs()
    for name in ("solved", "steps_to_90"):
        runs[name] = results.metric(name, split="train").set_index("spec_hash")["value"]
    runs = runs.dropna(subset=["solved"])
    groups = runs.groupby(["variant", "task"])
    cells = {key: _solved(part) for key, part in groups}
    cases = [case for case in FAMILY if case in set(runs["task"])]
    lines = [{"memory": row} | {case: cells.get((row, case), "–") for case in cases} for row in ROWS]
    note = f"{results.stamp()} · seeds with .99 of the training answers right; median steps to .9"
    return render(pd.DataFrame(lines), note=note, caption="How many seeds learn each case, and how soon.")


def _solved(part: pd.DataFrame) -> str:
    median = part["steps_to_90"].median()
    steps = "never" if math.isinf(median) else f"{median:,.0f}"
    return f"{int(part['solved'].sum())} of {len(part)}; {steps}"


_CAPTION = (
    "Results at a glance: HML less each rival in six families of tasks, means of paired seeds with 95 % "
    "intervals. Right of the line HML is ahead; dashed: how far it may be behind and count as not worse."
)
FIGURES = {
    "fair_scoreboard": Figure("fair", fair_scoreboard, _CAPTION),
    "fair_strip": Figure("fair", fair_strip, _CAPTION),
} | curves.FIGURES
TABLES = {
    "fair_verdicts": TableOf("fair", fair_verdicts),
    "fair_scores": TableOf("fair", fair_scores),
    "fair_solved": TableOf("fair", fair_solved),
    "fair_given": TableOf("fair_tuning", fair_given),
    "fair_tried": TableOf("fair_tuning", fair_tried),
}
