"""How the chunkwise form becomes kernels: what runs side by side, what in turn, and what is kept."""

from typing import NamedTuple

import plotly.graph_objects as go

from hmlcore.figures.style import GREY, styled

_PARALLEL, _SERIAL, _BACK = "#0072B2", "#D55E00", "#009E73"
_CHUNKS = 4
_CARRIED = {0: "", 1: "S in registers", -1: "S̄ in registers"}


class _Stage(NamedTuple):
    """One kernel: its name, what a program forms, what it writes for later, and how its chunks depend."""

    name: str
    forms: str
    keeps: str
    order: int  # 0: all chunks at once; 1: first to last; −1: last to first
    color: str


_STAGES = (
    _Stage("prepare", "T = (I + tril(M∘KKᵀ))⁻¹, u, w, y, Φ", "T: C numbers a token; u, w, y: 3p", 0, _PARALLEL),
    _Stage("pass", "Z = T(US − V);  S ← ΦS − YᵀZ", "Z: D a token; S: pND a chunk", 1, _SERIAL),
    _Stage("outputs", "O = WS − tril(O∘RKᵀ) Z", "the outputs, D a token", 0, _PARALLEL),
    _Stage("outputs back", "tril(O∘RKᵀ)ᵀ ō, formed again", "D a token, in the place of V̄", 0, _BACK),
    _Stage("pass back", "Z̄ = −tril(O∘RKᵀ)ᵀō − YS̄;  S̄ ← ΦᵀS̄ + Wᵀō + (TU)ᵀZ̄", "V̄: D a token; S̄: pND a chunk", -1,
           _SERIAL),
    _Stage("operands and gates back", "R̄, K̄;  ᾱ, γ̄, c̄, ē, f̄ from tables formed again",
           "gradients only", 0, _BACK),
)  # fmt: skip


def kernel_design() -> go.Figure:
    """The six passes over a sequence cut into chunks, from top to bottom in the order they run.

    A box is one program's work on a chunk. Arrows: a chunk waits for its neighbour's state, which stays in the
    registers of one program as it walks. Where there are none, all chunks of all heads run at once. The source
    of the algebra is `ops/hamiltonian/README.md`; nothing here was measured.
    """
    fig = go.Figure()
    for row, stage in enumerate(_STAGES):
        y = -row
        boxes = [(1.02 * i, 1.02 * i + 0.9) for i in range(_CHUNKS)]
        for number, (left, right) in enumerate(boxes):
            box = {"type": "rect", "x0": left, "x1": right, "y0": y - 0.2, "y1": y + 0.17}
            fig.add_shape(**box, line={"color": stage.color, "width": 1.6}, fillcolor=_tint(stage.color))
            label = f"chunk {number + 1}" if row == 0 else _CARRIED[stage.order]
            fig.add_annotation(x=(left + right) / 2, y=y - 0.015, text=label, **_small())
        for i in range(_CHUNKS - 1) if stage.order else ():
            a, b = (boxes[i][1], boxes[i + 1][0]) if stage.order > 0 else (boxes[i + 1][0], boxes[i][1])
            fig.add_annotation(
                x=b, y=y, ax=a, ay=y, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
                arrowhead=2, arrowsize=1.2, arrowwidth=1.8, arrowcolor=stage.color,
            )  # fmt: skip
        fig.add_annotation(
            x=0, y=y + 0.33, text=f"<b>{stage.name}</b>  {stage.forms}", xanchor="left", **_small(12)
        )
        fig.add_annotation(x=4.16, y=y - 0.015, text=stage.keeps, xanchor="left", **_small())
    fig.add_annotation(x=4.16, y=0.33, text="<b>what it writes</b>", xanchor="left", **_small(12))
    middle = -2.5
    fig.add_shape(
        type="line", x0=0, x1=6.1, y0=middle, y1=middle, line={"color": GREY, "dash": "dot", "width": 1}
    )
    fig.add_annotation(x=6.1, y=middle, text="forward ↑ ↓ backward", xanchor="right", yshift=8, **_small())
    hover = go.Scatter(
        x=[1.9] * len(_STAGES), y=[-row for row in range(len(_STAGES))], mode="markers",
        marker={"size": 60, "opacity": 0}, showlegend=False, hovertemplate="%{text}<extra></extra>",
        text=[f"<b>{s.name}</b><br>{_order(s.order)}" for s in _STAGES],
    )  # fmt: skip
    fig.add_trace(hover)
    styled(fig, height=560, legend=False)
    fig.update_xaxes(visible=False, range=[-0.05, 6.15], fixedrange=True)
    fig.update_yaxes(visible=False, range=[-5.45, 0.6], fixedrange=True)
    return fig.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})


def _order(order: int) -> str:
    if order == 0:
        return "all chunks of all heads at once"
    return "one program walks the chunks " + ("from the first" if order > 0 else "from the last")


def _tint(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"


def _small(size: int = 11) -> dict:
    return {"showarrow": False, "font": {"size": size, "color": GREY}}
