"""Slots while a sequence is read: their norms, how many are in use, their gates, and what is answered."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import panels
from hmlcore.figures.style import GREY, in_order, mixer_style, rounded, stamp
from hmlcore.results.resultset import stamp as stamp_text

_COLUMNS = ("t", "block", "slot", "norm", "write", "keep", "in_use", "right", "wrong")
_SCALE = "Cividis"
_HUES = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#9467BD", "#882255")
_ANSWERS = {"right": ("right", "#009E73"), "wrong": ("likeliest wrong", "#D55E00"), "rest": ("others", GREY)}
_SLOTS = (
    "One sequence of recall, read by one trained model of each kind: pairs first, then keys are asked for. "
)


def _rows(trace: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The trace with its columns, and the mixers in it.

    Raises: HmlcoreError for columns that are missing.
    """
    absent = [column for column in _COLUMNS if column not in trace]
    require(not absent, f"trace lacks the columns {absent}")
    return trace, in_order(trace["mixer"])


def _stamped(fig: go.Figure, trace: pd.DataFrame) -> go.Figure:
    return stamp(fig, f"{stamp_text(trace)} · {trace['t'].nunique()} tokens of one sequence")


def _last(trace: pd.DataFrame, mixer: str) -> pd.DataFrame:
    own = trace[trace["mixer"] == mixer]
    return own[own["block"] == own["block"].max()]


def slot_norms(trace: pd.DataFrame) -> go.Figure:
    """Norm of each slot of the last block after each token, a share of the largest; a panel a mixer."""
    trace, mixers = _rows(trace)
    fig, cells = panels([mixer_style(m).label for m in mixers], "token", "slot", legend=False, height=260)
    for mixer, where in zip(mixers, cells, strict=True):
        norms = _last(trace, mixer).pivot_table(index="slot", columns="t", values="norm")
        shares = norms / norms.to_numpy().max()
        fig.add_trace(
            go.Heatmap(
                x=list(shares.columns), y=[slot + 1 for slot in shares.index],
                z=[rounded(line, 3) for line in shares.to_numpy()], coloraxis="coloraxis", xgap=1, ygap=1,
                hovertemplate="token %{x}, slot %{y}: %{z:.2f} of the largest norm<extra></extra>",
            ),
            **where,
        )  # fmt: skip
    bar = {"title": {"text": "norm", "side": "right"}, "thickness": 12, "outlinewidth": 0}
    fig.update_layout(coloraxis={"colorscale": _SCALE, "cmin": 0, "cmax": 1, "colorbar": bar}, margin_r=84)
    fig.update_yaxes(dtick=1, showgrid=False)
    fig.update_xaxes(showgrid=False)
    return _stamped(fig, trace)


def slots_used(trace: pd.DataFrame) -> go.Figure:
    """Slots in use after each token, by their contents; dotted, those whose norm is a tenth of the largest."""
    trace, mixers = _rows(trace)
    blocks = sorted(set(trace["block"]))
    fig, cells = panels([f"block {block + 1}" for block in blocks], "token", "slots")
    for block, where in zip(blocks, cells, strict=True):
        for mixer in mixers:
            own = trace[(trace["mixer"] == mixer) & (trace["block"] == block)]
            used = own.groupby("t")["in_use"].first()
            largest = own.groupby("t")["norm"].transform("max").clip(lower=1e-12)
            filled = (own["norm"] >= 0.1 * largest).groupby(own["t"]).sum()
            style = mixer_style(mixer)
            for values, dash, what in ((used, "solid", "in use"), (filled, "dot", "not empty")):
                fig.add_trace(
                    go.Scatter(
                        x=list(values.index), y=rounded(values, 4), mode="lines", legendgroup=mixer,
                        name=style.label, showlegend=where == cells[0] and dash == "solid",
                        line={"color": style.color if mixer == mixers[0] else "#0072B2", "dash": dash},
                        hovertemplate=f"{style.label}, token %{{x}}: %{{y:.2f}} {what}<extra></extra>",
                    ),
                    **where,
                )  # fmt: skip
    fig.update_yaxes(rangemode="tozero")
    return _stamped(fig, trace)


def slot_gates(trace: pd.DataFrame) -> go.Figure:
    """What each slot of the last block takes of a token and keeps of itself, a line a slot, a row a mixer."""
    trace, mixers = _rows(trace)
    kinds = {"write": "takes", "keep": "keeps"}
    titles = [f"{mixer_style(m).label}: {word}" for m in mixers for word in kinds.values()]
    fig, cells = panels(titles, "token", "share", columns=2, height=220)
    places = iter(cells)
    for mixer in mixers:
        own = _last(trace, mixer)
        for kind in kinds:
            where = next(places)
            for slot, part in own.groupby("slot"):
                number = int(str(slot))
                fig.add_trace(
                    go.Scatter(
                        x=list(part["t"]), y=rounded(part[kind], 4), mode="lines", name=f"{number + 1}",
                        legendgroup=f"slot {number}", showlegend=where == cells[0],
                        line={"color": _HUES[number % len(_HUES)], "width": 1.4},
                        hovertemplate=f"slot {number + 1}, token %{{x}}: %{{y:.3f}}<extra></extra>",
                    ),
                    **where,
                )  # fmt: skip
    fig.update_yaxes(range=[0, 1.02], showticklabels=True)
    fig.update_layout(legend_title_text="slot")
    return _stamped(fig, trace)


def answer_chances(trace: pd.DataFrame) -> go.Figure:
    """Of each answer that is asked for, the probability of the right one, of the likeliest wrong one, and of
    all others together; a panel a mixer."""
    trace, mixers = _rows(trace)
    fig, cells = panels([mixer_style(m).label for m in mixers], "token", "probability")
    for mixer, where in zip(mixers, cells, strict=True):
        asked = _last(trace, mixer).dropna(subset=["right"]).groupby("t")[["right", "wrong"]].first()
        asked["rest"] = (1 - asked["right"] - asked["wrong"]).clip(lower=0)
        for kind, (name, color) in _ANSWERS.items():
            fig.add_trace(
                go.Bar(
                    x=[str(t) for t in asked.index], y=rounded(asked[kind], 4), name=name, legendgroup=kind,
                    showlegend=where == cells[0], marker={"color": color, "line": {"width": 0}},
                    hovertemplate=f"token %{{x}}: %{{y:.3f}} {name}<extra></extra>",
                ),
                **where,
            )  # fmt: skip
        fig.update_xaxes(type="category", **where)
    fig.update_layout(barmode="stack", bargap=0.25)
    fig.update_yaxes(range=[0, 1])
    return _stamped(fig, trace)


def norms_by_block(trace: pd.DataFrame) -> go.Figure:
    """How the norms of slots are distributed in each block over tokens, each over the block's mean."""
    trace, mixers = _rows(trace)
    fig, cells = panels([mixer_style(m).label for m in mixers], "block", "norm over the mean", legend=False)
    for mixer, where in zip(mixers, cells, strict=True):
        own = trace[trace["mixer"] == mixer]
        for block, part in own.groupby("block"):
            fig.add_trace(
                go.Box(
                    y=rounded(part["norm"] / max(part["norm"].mean(), 1e-12), 4), name=str(int(str(block)) + 1),
                    marker={"color": mixer_style(mixer).color, "size": 3}, line={"width": 1.4},
                ),
                **where,
            )  # fmt: skip
    return _stamped(fig, trace)


CAPTIONS = {
    "slot_norms": f"{_SLOTS}How large each slot is after each token, as a share of the largest.",
    "slots_used": f"{_SLOTS}How many slots are in use: the effective rank of their contents. Dotted, how many "
    "are not empty, by their norms alone.",
    "slot_gates": f"{_SLOTS}What each slot takes of a token and keeps of itself; the described system's shares "
    "are those before its state is normalised.",
    "answer_chances": f"{_SLOTS}The probability of the right answer, of the likeliest wrong one, and of all "
    "others.",
    "norms_by_block": f"{_SLOTS}Norms of slots over tokens, by block, each divided by the block's mean.",
}
DRAWN = {f.__name__: f for f in (slot_norms, slots_used, slot_gates, answer_chances, norms_by_block)}
