"""Gradient stability: how far back a gradient reaches, and what is still legible there.

A contestant is a mixer, or one of HML's own variants of damping, drawn in HML's color with dashes of its own.
"""

import math
from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.crowd import faded
from hmlcore.figures.marks import accuracy_axis, add_chance, panels, traces_of
from hmlcore.figures.style import MIXERS, MixerStyle, in_order, layout_of, mixer_style, rounded, stamp
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.statistics import MIN_SEEDS, seed_interval, wilson_interval
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import SEEDS, Figure, TableOf

STAGES = ("initial", "trained")
_NAMES = {"initial": "before training", "trained": "after training"}
_WHAT = {"gradient_by_lag": "by input", "state_gradient_by_lag": "by state"}
_OWN = {
    "oscillator undamped": ("circle-open", "dash"),
    "leapfrog undamped": ("square-open", "dot"),
    "leapfrog damped": ("triangle-up-open", "dashdot"),
    "leapfrog learned": ("diamond-open", "longdash"),
}
_LEAST, _MOST = 1e-40, 1e12  # of what is drawn; the floor of single precision is 1.2e-38


def contestant_style(variant: str) -> MixerStyle:
    """The style of a contestant: the mixer's, or HML's with a mark and a dash of the variant's own."""
    if variant in MIXERS:
        return mixer_style(variant)
    symbol, dash = _OWN.get(variant, ("x-open", "longdashdot"))
    return MixerStyle(f"HML, {variant}", mixer_style("hml").color, symbol, dash)


def contestants(variants: Iterable[str]) -> list[str]:
    """In the order figures and tables list them: HML, its variants, the other mixers."""
    found = set(variants)
    own = [name for name in _OWN if name in found]
    own += sorted(name for name in found if name not in _OWN and name not in MIXERS)
    return [v for v in ("hml",) if v in found] + own + in_order(found & set(MIXERS) - {"hml"})


def synthetic_gradients(results: ResultSet) -> go.Figure:
    """Norm of the gradient against lag, log-log, geometric mean over seeds: a row before and after training, a
    column for the gradient by input and by state.

    Open dots: below what single precision holds in at least one sequence, drawn at that floor. The hover text
    has every seed.
    """
    results = tuned(results)
    parts = {
        (stage, metric): _stage(results, metric, stage)
        for stage in STAGES
        for metric in _WHAT
        if metric in results.metrics
    }
    parts = {place: rows for place, rows in parts.items() if len(rows)}
    require(len(parts) > 0, "no gradients by lag")
    titles = [f"{_NAMES[stage]}, {_WHAT[metric]}" for stage, metric in parts]
    fig, cells = panels(titles, "lag (tokens)", "norm of the gradient", columns=min(2, len(parts)), height=330)
    names = contestants(name for rows in parts.values() for name in rows["variant"])
    for name in names:
        fig.add_trace(_key(_filled(contestant_style(name))))
    for rows, where in zip(parts.values(), cells, strict=True):
        for name in contestants(rows["variant"]):
            for trace in _curve(rows[rows["variant"] == name], name):
                fig.add_trace(trace, **where)
    lags = sorted({float(lag) for rows in parts.values() for lag in rows["lag"]})
    ticks = [lag for number, lag in enumerate(lags[::-1]) if number % math.ceil(len(lags) / 5) == 0][::-1]
    span = [math.log10(lags[0]) - 0.1, math.log10(lags[-1]) + 0.1]
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,.0f}" for tick in ticks], range=span)
    values = [y for t in traces_of(fig) if t.meta == "curve" for y in t.y if y]
    low = math.log10(max(_LEAST, min(values, default=1))) - 1
    high = math.log10(min(_MOST, max(values, default=1))) + 1
    fig.update_yaxes(type="log", exponentformat="power", range=[low, high], nticks=8)
    fig.update_layout(margin_l=76)
    return stamp(_roomy(_crowd(fig)), results, pd.concat([rows["n"] for rows in parts.values()]))


def synthetic_probes(results: ResultSet) -> go.Figure:
    """Left, how often a linear probe reads a symbol from the state so many tokens later, against lag, with
    chance dashed; right, accuracy on copy against noise on the embeddings. Every seed a dot.
    """
    results = tuned(results)
    wanted = [
        ("linear_probe", "lag", "read by a linear probe, by lag"),
        ("noise_accuracy", "level", "accuracy, by noise on the embeddings"),
    ]
    wanted = [(m, x, title, results.metric(m)) for m, x, title in wanted if m in results.metrics]
    require(len(wanted) > 0, "no results of probes")
    fig, cells = panels([title for *_, title, _ in wanted], "", "accuracy", height=330)
    for name in contestants(name for *_, rows in wanted for name in rows["variant"]):
        fig.add_trace(_key(contestant_style(name)))
    for (metric, x, _, rows), where in zip(wanted, cells, strict=True):
        # Evenly spaced: levels of noise begin at 0, which has no place on a logarithmic axis.
        places = {value: number for number, value in enumerate(sorted(set(rows[x])))}
        rows = rows.assign(place=rows[x].map(places))
        if "chance" in rows:
            add_chance(fig, rows["place"], float(rows["chance"].iloc[0]), where)
        for name in contestants(rows["variant"]):
            for trace in _seeds(rows[rows["variant"] == name], name, x):
                fig.add_trace(trace, **where)
        title = "tokens since the symbol" if metric == "linear_probe" else "noise, relative to the embeddings"
        labels = [f"{value:,g}" for value in places]
        fig.update_xaxes(title_text=title, tickvals=list(places.values()), ticktext=labels, **where)
    accuracy_axis(fig)
    return stamp(_roomy(_crowd(fig)), results, pd.concat([rows["n"] for *_, rows in wanted]))


def gradient_table(results: ResultSet) -> Table:
    """A row a contestant: g_early / g_late and its slope before and after training, what a probe reads at each
    lag, growth of the state per token, and the change of energy over blank tokens.

    The ratio is the geometric mean over seeds; "≤" where the norm at the longest lag was lost in one of them.
    The slope is that of the log of the norm per thousand tokens, with its 95 % interval: over seeds where they
    are enough, else the mean of the fits' own.
    """
    chosen = tuned(results)
    lines = []
    for name in contestants(chosen.frame["variant"].dropna()):
        own = chosen.frame[(chosen.frame["variant"] == name) & (chosen.frame["split"] == "test")]
        line = {"contestant": contestant_style(name).label}
        for stage in STAGES:
            here = own[own["stage"] == stage]
            ratio = line[f"early/late, {stage}"] = _ratio(here)
            # Where nothing arrives, the line through the floor has no meaning.
            line[f"slope, {stage}"] = _slope(here[here["metric"] == "gradient_slope"]) if ratio else ""
        probes = own[own["metric"] == "linear_probe"].groupby("lag")["value"].mean()
        for lag in sorted(set(chosen.frame[chosen.frame["metric"] == "linear_probe"]["lag"])):
            line[f"probe, {int(lag):,}"] = f"{probes[lag]:.2f}" if lag in probes else ""
        line["growth per token"] = _mean(own, "spectral_radius_proxy")
        line["energy change"] = _mean(own, "energy_change")
        lines.append(line)
    chance = chosen.frame["chance"].dropna() if "chance" in chosen.frame else pd.Series(dtype=float)
    note = f"{chosen.stamp()} · slopes: log of the norm per 1,000 tokens"
    note += f" · chance of the probe {chance.iloc[0]:.3g}" if len(chance) else ""
    note = ". ".join([note, *unequal(models_frame(results))])
    return render(pd.DataFrame(lines), note=note, caption="Gradients at the longest lag and what is legible.")


def _stage(results: ResultSet, metric: str, stage: str) -> pd.DataFrame:
    rows = results.metric(metric)
    rows = rows[rows["stage"] == stage]
    return rows.assign(floored=rows.get("floored", 0))


def _key(style: MixerStyle) -> go.Scatter:
    return go.Scatter(
        x=[None], y=[None], mode="lines+markers", name=style.label, legendgroup=style.label, meta="key",
        showlegend=True, line={"color": style.color, "dash": style.dash, "width": _width(style)},
        marker={"symbol": style.symbol, "size": 7},
    )  # fmt: skip


def _crowd(fig: go.Figure) -> go.Figure:
    """HML, its variants and attention in their colors."""
    return faded(fig, [contestant_style(name).label for name in ("hml", *_OWN, "attention")])


def _filled(style: MixerStyle) -> MixerStyle:
    """`style` with its mark filled, for a figure where an open one has a meaning."""
    return style._replace(symbol=style.symbol.removesuffix("-open"))


def _width(style: MixerStyle) -> float:
    return 3.5 if style == mixer_style("hml") else 1.5


def _curve(rows: pd.DataFrame, name: str) -> list[go.Scatter]:
    """The geometric mean over seeds; where a seed is not finite or zero the line has a gap."""
    style, points = contestant_style(name), []
    for _, part in rows.groupby("lag"):
        lag, values = float(part["lag"].iloc[0]), part["value"].to_numpy()
        fine = all(math.isfinite(v) and v > 0 for v in values)
        mean = math.exp(sum(map(math.log, values)) / len(values)) if fine else None
        lost = bool((part["floored"].fillna(0) > 0).any())
        runs = sorted(zip(part["seed"], values, part["spec_hash"], strict=True))
        each = [f"seed {seed}: {_power(value)}, hml show {digest[:8]}" for seed, value, digest in runs]
        head = f"<b>{style.label}</b> lag {int(lag):,}" + (", lost in single precision" if lost else "")
        text = "<br>".join([head, *each, f"n = {int(part['n'].iloc[0])} each"])
        points.append((lag, mean, lost, text))
    shared = {"legendgroup": style.label, "name": style.label, "showlegend": False}
    x, y, lost, text = (list(column) for column in zip(*points, strict=True))
    y = [None if value is None else rounded([value])[0] for value in y]
    symbol = _filled(style).symbol
    return [
        go.Scatter(
            x=x, y=y, mode="lines+markers", meta="curve", text=text, hovertemplate="%{text}<extra></extra>",
            line={"color": style.color, "dash": style.dash, "width": _width(style)},
            marker={"symbol": [f"{symbol}-open" if gone else symbol for gone in lost], "size": 6}, **shared,
        )
    ]  # fmt: skip


def _seeds(rows: pd.DataFrame, name: str, x: str) -> list[go.Scatter]:
    style = contestant_style(name)
    shared = {"legendgroup": style.label, "name": style.label, "showlegend": False}
    shared |= {"hovertemplate": "%{text}<extra></extra>"}
    text = []
    for row in rows.to_dict("records"):
        line = f"<b>{style.label}</b> seed {row['seed']}, {x} {row[x]:,g}<br>accuracy {row['value']:.3g}"
        if row["n"] and row["value"] == row["value"]:
            low, high = wilson_interval(row["value"], row["n"])
            line += f"<br>Wilson 95 %: {low:.3f} to {high:.3f}, n = {row['n']:,}"
        text.append(f"{line}<br>hml show {row['spec_hash'][:8]}")
    means = {place: seed_interval(values) for place, values in rows.groupby("place")["value"]}
    bars = None
    if any(e.low is not None for e in means.values()):
        half = [0 if e.high is None else e.high - e.mean for e in means.values()]
        bars = {"type": "data", "array": rounded(half), "thickness": 1.2, "width": 3}
    words = [
        f"<b>{style.label}</b> mean of {e.n}: {e.mean:.3g}"
        + ("" if e.low is None else f", 95 % t-interval {e.low:.3g} to {e.high:.3g}")
        for e in means.values()
    ]
    return [
        go.Scatter(
            x=list(rows["place"]), y=rounded(rows["value"]), mode="markers", text=text, meta="seeds",
            marker={"color": style.color, "symbol": style.symbol, "size": 6, "opacity": 0.6}, **shared,
        ),
        go.Scatter(
            x=list(means), y=rounded(e.mean for e in means.values()), mode="lines", error_y=bars, text=words,
            meta="mean", line={"color": style.color, "dash": style.dash, "width": _width(style)}, **shared,
        ),
    ]  # fmt: skip


def _roomy(fig: go.Figure) -> go.Figure:
    """`fig` with room above for a legend of three columns, over the panels' titles."""
    entries, layout = sum(bool(trace.showlegend) for trace in traces_of(fig)), layout_of(fig)
    extra = 20 * (math.ceil(entries / 3) - 1)
    fig.update_layout(height=layout.height + extra, margin_t=layout.margin.t + extra)
    inside = layout.height - layout.margin.t - layout.margin.b
    legend = {"font": {"size": 12}, "entrywidth": 0.32, "entrywidthmode": "fraction", "y": 1 + 30 / inside}
    fig.update_layout(legend=legend)
    return fig


def _ratio(rows: pd.DataFrame) -> str:
    """Geometric mean of g_early / g_late; a seed whose start was lost has none."""
    values = rows[rows["metric"] == "early_late"]["value"].dropna()
    values = values[values > 0]
    if values.empty:
        return ""
    lags = rows[rows["metric"] == "gradient_by_lag"]
    lost = lags[lags["lag"] == lags["lag"].max()].get("floored", pd.Series(dtype=float)).fillna(0).gt(0).any()
    return ("≤ " if lost else "") + _power(math.exp(sum(map(math.log, values)) / len(values)))


def _slope(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    mean, low, high, n = seed_interval(rows["value"])
    if n < MIN_SEEDS:
        low, high = rows["low"].mean(), rows["high"].mean()
    if low is None or high is None or low != low:
        return _thousand(mean)
    return f"{_thousand(mean)} ({_thousand(low)} to {_thousand(high)})"


def _thousand(value: float) -> str:
    return f"{1000 * value:+.2g}".replace("-", "−")


def _mean(rows: pd.DataFrame, metric: str) -> str:
    values = rows[rows["metric"] == metric]["value"].dropna()
    return "" if values.empty else f"{values.mean():+.2g}".replace("-", "−")


def _power(value: float) -> str:
    return f"{value:.2g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


FIGURES = {
    "synthetic_gradients": Figure(
        "synthetic_gradient",
        synthetic_gradients,
        "How far back learning reaches: norm of the gradient by the input and by the state so many tokens ago, "
        "before and after training on copy; geometric mean of the seeds, each of which is in the hover text. "
        "Open dots lie at the floor of single precision; HML's variants of damping share its color.",
    ),
    "synthetic_probes": Figure(
        "synthetic_gradient",
        synthetic_probes,
        "What is legible: left, how often a linear probe of the state reads a symbol so many tokens later "
        "(states that grow are not probed), dashed grey what a guess reads; right, accuracy on copy with noise "
        f"on the embeddings. {SEEDS}",
    ),
}

TABLES = {
    "synthetic_early_late": TableOf("synthetic_gradient", gradient_table),
}
