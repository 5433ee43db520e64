"""Copy: accuracy over payload and delay, inside and outside what training covered."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.learning import learning_curves
from hmlcore.figures.marks import (
    accuracy_axis,
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
)
from hmlcore.figures.style import in_order, mixer_style, stamp
from hmlcore.figures.tables import models_table
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import SEEDS, Figure, TableOf

_METRICS = {"exact": "whole payload right", "accuracy": "single symbols right"}


def copy_heatmaps(results: ResultSet) -> go.Figure:
    """Mean accuracy over payload × delay, a panel a mixer, the region of training outlined.

    Buttons switch between whole payloads and single symbols; the hover text gives each seed.
    """
    results = tuned(results)
    mixers = in_order(results.mixers)
    titles = [mixer_style(mixer).label for mixer in mixers]
    fig, cells = panels(titles, "delay", "payload", columns=len(mixers), height=270, legend=False)
    present = [metric for metric in _METRICS if metric in results.metrics]
    for metric in present:
        rows = results.metric(metric)
        for mixer, where in zip(mixers, cells, strict=True):
            heat = _heatmap(rows[rows["mixer"] == mixer], visible=metric == present[0])
            fig.add_trace(heat, **where)
    for mixer, where in zip(mixers, cells, strict=True):
        specs = [spec for spec in results.specs() if spec["mixer"] == mixer]
        for box in _trained_box(results.metric(present[0], mixer=mixer), specs):
            fig.add_shape(box, **where)
    fig.update_layout(
        coloraxis={
            "colorscale": "Cividis",
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"thickness": 12, "tickformat": ".0%"},
        }
    )
    fig.update_xaxes(showgrid=False, type="category")
    fig.update_yaxes(showgrid=False, type="category")
    if len(present) > 1:
        fig.update_layout(updatemenus=[_buttons(present, len(mixers))], margin_t=84)
    n = results.metric(present[0])["n"]
    return stamp(fig, f"{results.stamp()} · outlined: trained on", n)


def _heatmap(rows: pd.DataFrame, visible: bool) -> go.Heatmap:
    means = rows.pivot_table(index="payload", columns="delay", values="value", aggfunc="mean")
    label = mixer_style(rows["mixer"].iloc[0]).label
    text = {at: _hover(label, at, seeds) for at, seeds in rows.groupby(["payload", "delay"])}
    values = means.to_numpy()
    return go.Heatmap(
        x=[f"{delay:g}" for delay in means.columns],
        y=[f"{payload:g}" for payload in means.index],
        z=[[None if np.isnan(v) else round(float(v), 4) for v in line] for line in values],
        text=[["" if np.isnan(v) else f"{100 * v:.0f}" for v in line] for line in values],
        texttemplate="%{text}",
        hovertext=[[text.get((p, d), "") for d in means.columns] for p in means.index],
        hovertemplate="%{hovertext}<extra></extra>",
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        visible=visible,
    )


def _hover(label: str, at: tuple, seeds: pd.DataFrame) -> str:
    values = sorted(zip(seeds["seed"], seeds["value"], strict=True))
    each = "<br>".join(f"seed {seed}: {value:.3g}" for seed, value in values)
    n = f"n = {seeds['n'].iloc[0]:,} each"
    return f"<b>{label}</b> payload {at[0]}, delay {at[1]}<br>{each}<br>{n}"


def _trained_box(rows: pd.DataFrame, specs: list[dict]) -> list[dict]:
    """White on black, so that the outline shows on every color of the scale and on both kinds of page."""
    region = {}
    for knob in ("payload", "delay"):
        seen = [item[knob] for spec in specs for item in spec.get("train", []) if knob in item]
        shown = sorted(set(rows[knob]))
        inside = [i for i, value in enumerate(shown) if seen and min(seen) <= value <= max(seen)]
        if not inside:
            return []
        region[knob] = inside[0] - 0.5, inside[-1] + 0.5
    (x0, x1), (y0, y1) = region["delay"], region["payload"]
    corners = {"type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1}
    return [{**corners, "line": {"color": color, "width": w}} for color, w in (("black", 5), ("white", 2))]


def _buttons(metrics: list[str], panels_: int) -> dict:
    buttons = []
    for metric in metrics:
        visible = [other == metric for other in metrics for _ in range(panels_)]
        buttons.append({"label": _METRICS[metric], "method": "restyle", "args": [{"visible": visible}]})
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 34}}
    return {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": True, **place}


def copy_curves(results: ResultSet) -> go.Figure:
    """Share of payloads copied without an error against delay, a panel a payload, every seed a dot.

    The dotted line marks the longest delay of training.
    """
    results = tuned(results)
    rows = results.metric("exact")
    payloads, delays = sorted(set(rows["payload"])), sorted(set(rows["delay"]))
    trained = [item for spec in results.specs() for item in spec.get("train", []) if "delay" in item]
    loads = {item["payload"] for item in trained if "payload" in item}
    titles = [f"payload {p}" + ("" if not loads or p in loads else " (not trained on)") for p in payloads]
    fig, cells = panels(titles, "delay", "exact copies")
    for payload, where in zip(payloads, cells, strict=True):
        if trained:
            longest = max(item["delay"] for item in trained)
            add_limit(fig, longest, (0, 1), f"longest delay of training: {longest}", where)
        for mixer in in_order(results.mixers):
            part = rows[(rows["mixer"] == mixer) & (rows["payload"] == payload)]
            if len(part):
                add_seeds(fig, part, "delay", what="exact", binomial=True, where=where)
    accuracy_axis(fig)
    fig.update_xaxes(**doubling_axis(delays))
    return stamp(fig, results, rows["n"])


FIGURES = {
    "copy_heatmaps": Figure(
        "copy",
        copy_heatmaps,
        "Copy: share of payloads repeated without an error, in percent, over payload and delay; mean of the "
        "seeds, each of which is in the hover text. Inside the outline lie the conditions trained on.",
    ),
    "copy_curves": Figure(
        "copy",
        copy_curves,
        "Copy: share of payloads repeated without an error against delay, one panel a payload. "
        f"Dotted: the longest delay of training. {SEEDS}",
    ),
    "copy_learning": Figure("copy", learning_curves, "Copy: training loss against steps, one line a seed."),
}

TABLES = {
    "copy_models": TableOf("copy", models_table),
}
