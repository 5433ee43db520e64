"""The look every figure shares: one color and one marker a mixer, light and dark pages, the stamp.

Colors are Okabe and Ito's (2008), told apart with any color vision, and a purple in place of their black and
yellow, each of which is lost on one of the pages. Everything that is not data is drawn in
half-transparent grey on a transparent page, so a figure reads on white and on black without being redrawn.
"""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from hmlcore.results import ResultSet

GREY = "#808080"
FAINT = "rgba(128,128,128,0.25)"
PALE = "rgba(128,128,128,0.5)"
DIRECTIONS = ("causal", "bidirectional")
"""In the order figures and tables list them."""
BOTTOM = 80
"""Pixels under the plot: tick labels, axis title, stamp."""


class MixerStyle(NamedTuple):
    """How one mixer is named and drawn everywhere."""

    label: str
    color: str
    symbol: str
    dash: str


MIXERS = {
    "hml": MixerStyle("HML", "#D55E00", "circle", "solid"),
    "attention": MixerStyle("Attention", "#0072B2", "square", "dash"),
    "gru": MixerStyle("GRU", "#009E73", "diamond", "dot"),
    "lstm": MixerStyle("LSTM", "#009E73", "diamond-open", "dashdot"),
    "mamba": MixerStyle("Mamba", "#CC79A7", "triangle-up", "solid"),
    "mamba2": MixerStyle("Mamba-2", "#CC79A7", "triangle-down", "dash"),
    "hyena": MixerStyle("Hyena", "#56B4E9", "cross", "solid"),
    "retnet": MixerStyle("RetNet", "#56B4E9", "x", "dash"),
    "gated_deltanet": MixerStyle("Gated DeltaNet", "#E69F00", "star", "solid"),
    "momentum_deltanet": MixerStyle("Momentum DeltaNet", "#E69F00", "hexagram", "dash"),
    "linoss": MixerStyle("LinOSS", "#9467BD", "pentagon", "solid"),
    "holographic": MixerStyle("Holographic", "#882255", "star-diamond", "solid"),
    "holographic_legacy": MixerStyle("Holographic, as described", "#882255", "star-diamond-open", "dot"),
    "window_attention": MixerStyle("Window attention", "#0072B2", "square-open", "dashdot"),
}
OPS = {
    "op:hml-p2": MixerStyle("HML, p = 2", "#D55E00", "circle", "solid"),
    "op:hml-p1": MixerStyle("HML, p = 1", "#CC79A7", "triangle-up", "dash"),
    "op:hml-p1-bytes": MixerStyle("HML, p = 1, equal bytes", "#009E73", "diamond", "dot"),
    "op:gdn-transformers": MixerStyle("Gated DeltaNet (transformers)", "#E69F00", "star", "solid"),
    "op:sdpa": MixerStyle("Attention (SDPA)", "#0072B2", "square", "dash"),
    "op:gdn-fla": MixerStyle("Gated DeltaNet (fla)", "#E69F00", "star-open", "dash"),
    "op:momentum-fla": MixerStyle("Momentum DeltaNet (fla)", "#9467BD", "hexagram", "solid"),
    "op:ssd-fla": MixerStyle("Mamba-2 (fla)", "#56B4E9", "triangle-down", "dash"),
}
"""Ops that are timed without a layer."""
DYNAMICS = {
    "leapfrog": MixerStyle("Leapfrog", "#D55E00", "circle", "solid"),
    "euler": MixerStyle("Symplectic Euler", "#E69F00", "triangle-up", "dash"),
    "delta": MixerStyle("Delta rule", "#0072B2", "square", "solid"),
    "oscillator": MixerStyle("Oscillator", "#009E73", "diamond", "solid"),
    "quad": MixerStyle("Vector oscillators", "#CC79A7", "cross", "solid"),
    "sep": MixerStyle("Separable", "#56B4E9", "x", "solid"),
    "mlp": MixerStyle("Learned potential", "#9467BD", "pentagon", "solid"),
    "kick": MixerStyle("Kicked", "#882255", "star", "solid"),
}
"""How every member of HML's family is named and drawn."""
_STYLES = MIXERS | OPS
_SPARE_COLORS = ("#882255", "#44AA99", "#DDCC77")
_SPARE_SYMBOLS = ("triangle-up", "cross", "star", "x", "pentagon")


def mixer_style(mixer: str) -> MixerStyle:
    """The style of `mixer`; one that has none here gets a style fixed by its name."""
    key = zlib.crc32(mixer.encode())
    spare = MixerStyle(
        mixer,
        _SPARE_COLORS[key % len(_SPARE_COLORS)],
        _SPARE_SYMBOLS[key % len(_SPARE_SYMBOLS)],
        "longdash",
    )
    return _STYLES.get(mixer, spare)


def in_order(mixers: Iterable[str]) -> list[str]:
    """Mixers in the order figures and tables list them: those of :data:`MIXERS` first."""
    known = list(_STYLES)
    return sorted(set(mixers), key=lambda m: (known.index(m) if m in known else len(known), m))


def dynamics_style(dynamics: str) -> MixerStyle:
    """The style of one of HML's dynamics; one without an entry in :data:`DYNAMICS` is grey."""
    return DYNAMICS.get(dynamics, MixerStyle(dynamics, GREY, "circle-open", "solid"))


def dynamics_in_order(dynamics) -> list[str]:
    """In the order figures list them: those of :data:`DYNAMICS` first."""
    known = list(DYNAMICS)
    return sorted(set(dynamics), key=lambda d: (known.index(d) if d in known else len(known), d))


def styled(fig: go.Figure, *, height: int = 420, legend: bool = True) -> go.Figure:
    """`fig` with the shared layout; changes it in place and returns it."""
    fig.update_layout(
        template=go.layout.Template(),  # Plotly's default template would add 7 kB to every figure
        height=height,
        margin={"l": 64, "r": 16, "t": 44 if legend else 32, "b": BOTTOM},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": GREY, "family": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "yref": "paper"},
        hoverlabel={"align": "left"},
    )
    axis = {"gridcolor": FAINT, "linecolor": FAINT, "zeroline": False, "ticks": "outside", "tickcolor": FAINT}
    axis |= {"tickfont": {"size": 11}, "title": {"font": {"size": 13}, "standoff": 8}}
    fig.update_xaxes(**axis)
    fig.update_yaxes(**axis)
    return fig


def stamp(fig: go.Figure, results: ResultSet | str, n: Iterable[int] = ()) -> go.Figure:
    """Write the small grey line under the plot, ``laptop profile · CPU · 3 seeds · n = 512``.

    Args:
        results: what the figure was drawn from, or a finished stamp text.
        n: examples behind each drawn value; their range is shown.
    """
    text = results if isinstance(results, str) else results.stamp()
    sizes = sorted({int(size) for size in n} - {0})
    if sizes:
        shown = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,}–{sizes[-1]:,}"
        text += f" · n = {shown}"
    fig.add_annotation(
        name="stamp",
        text=text,
        x=0,
        xref="paper",
        xanchor="left",
        y=0,
        yref="paper",
        yanchor="bottom",
        yshift=4 - (layout_of(fig).margin.b or BOTTOM),
        showarrow=False,
        font={"size": 11, "color": GREY},
    )
    return fig


def layout_of(fig: go.Figure) -> Any:
    """The layout of `fig`, of whose parts plotly says nothing."""
    return fig.layout


def rounded(values: Iterable, digits: int = 5) -> list:
    """Plain Python numbers with `digits` significant digits: short in JSON and the same on every machine."""
    return [value if isinstance(value, str) else float(f"{float(value):.{digits}g}") for value in values]
