"""The bake-off: every variant's score on every task, seed by seed, and the standings by mean rank."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import panels
from hmlcore.figures.style import GREY, rounded, stamp
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.statistics import seed_interval
from hmlcore.results.tuning import at_edge, rates_text, tuned
from hmlcore.studies.bakeoff.claims import seed_scores, standings, winner
from hmlcore.studies.kit.figure import Figure, TableOf

REFERENCE = "delta"
_COLORS = {"delta": "#E69F00", "leapfrog": "#D55E00", "euler": "#CC79A7", "oscillator": "#0072B2"}
_OTHER = "#009E73"


def bakeoff_scores(results: ResultSet) -> go.Figure:
    """A panel a task and one for the mean rank; in each a row a variant, the best of all on top.

    Dots are seeds, bars their means, the dashed line is gated DeltaNet ("delta"). Colours are dynamics;
    variants with rotating heads or angles from tokens are open.
    """
    table, seeds = standings(results), seed_scores(results)
    order = list(table.index)[::-1]
    tasks = list(table["score"])
    titles = [*map(_title, tasks), "mean rank (less is better)"]
    fig, cells = panels(titles, "", "", columns=min(3, len(titles)), height=26 * len(order) + 40, legend=False)
    for task, where in zip(tasks, cells, strict=False):
        here = seeds[seeds["task"] == task].assign(shown=lambda x, task=task: x["score"] * _sign(task))
        for variant in order:
            for trace in _row(here[here["variant"] == variant], variant, order.index(variant), task, table):
                fig.add_trace(trace, **where)
        if REFERENCE in order:
            at = float(table["score"].loc[REFERENCE, task]) * _sign(task)
            fig.add_trace(_line(at, len(order)), **where)
        if _sign(task) < 0:
            fig.update_xaxes(autorange="reversed", **where)
    fig.add_trace(_ranks(table, order), **cells[-1])
    fig.update_xaxes(autorange="reversed", **cells[-1])
    fig.update_yaxes(tickvals=list(range(len(order))), ticktext=order, range=[-0.6, len(order) - 0.4])
    fig.update_yaxes(title_text="")
    fig.update_layout(margin_l=170, margin_t=44)
    rows = tuned(results).frame
    return stamp(fig, results, rows[(rows["split"] == "test") & rows["n"].gt(0)]["n"])


def bakeoff_table(results: ResultSet) -> Table:
    """The standings: score and rank on every task, mean rank, operations a token; the best first."""
    table = standings(results)
    lines = []
    for variant, row in table.iterrows():
        line = {"variant": variant}
        for task in table["score"]:
            line[_title(task)] = f"{row['score', task] * _sign(task):.3f} ({row['rank', task]:g})"
        line["mean rank"] = f"{row['mean rank', '']:.1f}"
        line["kFLOPs a token"] = f"{row['flops', ''] / 1e3:.4g}"
        lines.append(line)
    note = f"{tuned(results).stamp()} · in brackets the rank on the task. " + robustness(results)
    return render(pd.DataFrame(lines), note=note, caption="The bake-off of the family.")


def bakeoff_models(results: ResultSet) -> Table:
    """Parameters, state and learning rates of the variants, at the size of the synthetic tasks and of text."""
    chosen, edge, lines = tuned(results), at_edge(results), []
    groups = chosen.frame.groupby(["variant", "d_model"], sort=False)
    for (variant, _), rows in groups:
        rates = {task: rates_text(part, edge) for task, part in rows.groupby("task")}
        lines.append(
            {
                "variant": variant,
                "width": int(rows["d_model"].iloc[0]),
                "parameters": f"{int(rows['parameters'].min()):,}–{int(rows['parameters'].max()):,}",
                "state, floats": int(rows["state_floats"].max()),
                "learning rates": ", ".join(f"{task} {rate}" for task, rate in rates.items()),
            }
        )
    note = ". ".join([chosen.stamp(), *_admitted(results)])
    return render(pd.DataFrame(lines), note=note, caption="Models of the bake-off.")


def robustness(results: ResultSet) -> str:
    """Who wins when one seed is left out: a sentence."""
    seeds = results.seeds
    if len(seeds) < 2:
        return "One seed only."
    best = winner(results)
    others = [winner(results, [s for s in seeds if s != out]) for out in seeds]
    same = sum(other == best for other in others)
    rest = sorted({other for other in others if other != best})
    tail = f", {' and '.join(rest)} otherwise" if rest else ""
    return f"Leaving out one seed, {best} wins in {same} of {len(seeds)} cases{tail}."


def _admitted(results: ResultSet) -> list[str]:
    """What is not equal, within a task."""
    remarks: dict[str, None] = {}
    for task in sorted(set(results.frame["task"])):
        frame = models_frame(results.where(task=task))
        remarks |= dict.fromkeys(r for r in unequal(frame) if "State" not in r)
    return [
        *remarks,
        "Memory is equal; the window of the short convolution is larger where there are more heads",
    ]


def _sign(task: str) -> int:
    """Scores are such that more is better; bits per byte are shown as they are."""
    return -1 if task == "text" else 1


def _title(task: str) -> str:
    return f"{task} (bits per byte)" if task == "text" else task


def _style(variant: str) -> tuple[str, bool]:
    """Colour of the dynamics, and whether something turns in it."""
    color = next((c for name, c in _COLORS.items() if variant.startswith(name)), _OTHER)
    return color, "rotation" in variant or "token" in variant or "few" in variant


def _row(rows: pd.DataFrame, variant: str, height: int, task: str, table: pd.DataFrame) -> list[go.Scatter]:
    color, turning = _style(variant)
    estimate = seed_interval(rows["shown"])
    unit = "bits per byte" if _sign(task) < 0 else "accuracy"
    text = [
        f"<b>{variant}</b> {task}, seed {row.seed}<br>{unit} {row.shown:.4g}"
        f"<br>rank {table['rank'].loc[variant, task]:g} of {len(table)}"
        for row in rows.itertuples()
    ]
    bars = None
    if estimate.high is not None:
        bars = {"type": "data", "array": rounded([estimate.high - estimate.mean]), "color": GREY}
    shared = {
        "mode": "markers",
        "showlegend": False,
        "name": variant,
        "hovertemplate": "%{text}<extra></extra>",
    }
    return [
        go.Scatter(
            x=rounded([estimate.mean]), y=[height], error_x=bars, meta="mean",
            text=[f"<b>{variant}</b> {task}<br>mean of {estimate.n} seeds: {estimate.mean:.4g}"],
            marker={"symbol": "line-ns", "size": 9, "line": {"color": color, "width": 3}}, **shared,
        ),
        go.Scatter(
            x=rounded(rows["shown"]), y=[height] * len(rows), text=text, meta="seeds",
            marker={"symbol": "circle-open" if turning else "circle", "size": 8, "color": color,
                    "opacity": 0.8}, **shared,
        ),
    ]  # fmt: skip


def _line(at: float, rows: int) -> go.Scatter:
    return go.Scatter(
        x=rounded([at, at]),
        y=[-0.6, rows - 0.4],
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.2},
        hovertemplate=f"gated DeltaNet ({REFERENCE}): %{{x:.4g}}<extra></extra>",
        showlegend=False,
        meta="reference",
    )


def _ranks(table: pd.DataFrame, order: list[str]) -> go.Scatter:
    means = table["mean rank"].loc[order].tolist()
    marks = [_style(variant) for variant in order]
    return go.Scatter(
        x=rounded(means),
        y=list(range(len(order))),
        mode="markers+text",
        marker={
            "symbol": ["diamond-open" if turning else "diamond" for _, turning in marks],
            "color": [color for color, _ in marks],
            "size": 11,
        },
        text=[f"{mean:.1f}" for mean in means],
        textposition="middle left",
        cliponaxis=False,
        textfont={"size": 11, "color": GREY},
        hovertemplate="mean rank %{x:.2f}<extra></extra>",
        showlegend=False,
        meta="rank",
    )


FIGURES = {
    "bakeoff_scores": Figure(
        "bakeoff",
        bakeoff_scores,
        "The bake-off: what each member of the family scores on the five tasks, the lowest mean rank on top. "
        "Each dot is a seed, bars are their means; open where heads rotate or an angle comes from the token. "
        "Dashed: gated DeltaNet (delta).",
    ),
}

TABLES = {
    "bakeoff_standings": TableOf("bakeoff", bakeoff_table),
    "bakeoff_models": TableOf("bakeoff", bakeoff_models),
}
