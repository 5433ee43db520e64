"""ListOps: accuracy against length, which mixers come first, and both as a table; causal and bidirectional
models are different questions and never share a line."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.learning import learning_curves
from hmlcore.figures.marks import (
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
    room_for_legend,
    traces_of,
    unlisted,
)
from hmlcore.figures.style import DIRECTIONS, GREY, in_order, mixer_style, rounded, stamp
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.statistics import seed_interval
from hmlcore.results.tuning import tuned

_FLOOR = "most frequent answer"
_NOWHERE = {"x": [None], "y": [None], "meta": "key"}


def listops_by_length(results: ResultSet) -> go.Figure:
    """Accuracy against the length below which expressions stay, a panel a direction, every seed a dot.

    Dotted: the longest length of training. Dashed grey: what the most frequent answer scores.
    """
    results = tuned(results)
    rows, trained = results.metric("accuracy"), trained_lengths(results)
    directions = _directions(rows)
    fig, cells = panels(directions, "expressions shorter than (tokens)", "accuracy", height=380)
    floor = _floor(results)
    span = _span([*rows["value"], *floor])
    for mixer in in_order(rows["mixer"]):
        fig.add_trace(_key(mixer))
    for direction, where in zip(directions, cells, strict=True):
        here = rows[rows["direction"] == direction]
        if trained:
            add_limit(fig, max(trained), span, f"longest length of training: {max(trained)}", where)
        for mixer in in_order(here["mixer"]):
            part = here[here["mixer"] == mixer]
            add_seeds(fig, part, "length", what="accuracy", binomial=True, legend=False, where=where)
        if len(floor):
            fig.add_trace(_floor_line(floor.index, floor, legend=unlisted(fig, _FLOOR)), **where)
    fig.update_traces(marker_size=6, marker_opacity=0.6, selector={"meta": "seeds"})
    for trace in traces_of(fig):
        if trace.meta in ("mean", "key"):
            trace.line.width = 4 if trace.name == mixer_style("hml").label else 1.5
    fig.update_xaxes(**doubling_axis(rows["length"]))
    fig.update_yaxes(range=span)
    return stamp(room_for_legend(fig), results, rows["n"])


def listops_ranking(results: ResultSet) -> go.Figure:
    """Accuracy averaged over lengths, a row a mixer: the best causal one at the lengths of training on top.

    A column for the lengths of training and one for the others. Dots are seeds, filled for causal models and
    open for bidirectional ones; bars their means. Dashed grey: what the most frequent answer scores.
    """
    results = tuned(results)
    rows, floor = results.metric("accuracy"), _floor(results)
    groups = _groups(results, rows)
    order = _best_first(rows[rows["length"].isin(groups[0][1])])[::-1]
    titles = [f"{title}: {', '.join(map(str, lengths))}" for title, lengths in groups]
    height = 30 * len(order) + 30
    fig, cells = panels(titles, "accuracy, mean of these lengths", "", columns=len(groups), height=height)
    directions = _directions(rows)
    for direction in directions:
        key = {"color": GREY, "symbol": _symbol(direction), "size": 10}
        fig.add_trace(go.Scatter(_NOWHERE, mode="markers", marker=key, name=direction, legendgroup=direction))
    for (_, lengths), where in zip(groups, cells, strict=True):
        part = rows[rows["length"].isin(lengths)]
        low = floor[floor.index.isin(lengths)]
        if len(low):
            line = _floor_line([low.mean()] * 2, [-0.6, len(order) - 0.4], legend=unlisted(fig, _FLOOR))
            fig.add_trace(line.update(hovertemplate=f"{_FLOOR}: %{{x:.3f}}<extra></extra>"), **where)
        for number, direction in enumerate(directions):
            seeds = _seed_means(part[part["direction"] == direction])
            shift = (0.5 - number) * 0.34 if len(directions) > 1 else 0
            for trace in _dots(seeds, direction, {mixer: at + shift for at, mixer in enumerate(order)}):
                fig.add_trace(trace, **where)
    fig.update_xaxes(range=_span([x for t in traces_of(fig) if t.meta in ("seeds", "floor") for x in t.x]))
    labels = [mixer_style(mixer).label for mixer in order]
    fig.update_yaxes(tickvals=list(range(len(order))), ticktext=labels, range=[-0.6, len(order) - 0.4])
    fig.update_layout(margin_l=150)
    return stamp(fig, results, rows["n"])


def listops_learning(results: ResultSet) -> go.Figure:
    """Training loss of the causal models against steps, a line a seed."""
    return learning_curves(results.where(direction="causal"))


def listops_table(results: ResultSet) -> Table:
    """Mean accuracy over seeds, a row a mixer and direction, a column a length, best first.

    "Best" is the mean over the lengths of training. The note says what is not equal between rows.
    """
    chosen = tuned(results)
    rows, floor = chosen.metric("accuracy"), _floor(chosen)
    (_, trained), *_ = _groups(chosen, rows)
    lengths = sorted(set(rows["length"]))
    mean = f"mean of {', '.join(map(str, trained))}"
    heads = {length: f"{length}" if length in trained else f"{length} (not trained on)" for length in lengths}

    def line(mixer: str, direction: str, values: pd.Series) -> dict:
        cells = {heads[length]: f"{values[length]:.3f}" if length in values else "" for length in lengths}
        inside = values[values.index.isin(trained)].mean()
        return {"mixer": mixer, "direction": direction, mean: f"{inside:.3f}", **cells}

    lines = []
    for direction in _directions(rows):
        here = rows[rows["direction"] == direction]
        for mixer in _best_first(here[here["length"].isin(trained)]):
            seeds = here[here["mixer"] == mixer]
            lines.append(line(mixer_style(mixer).label, direction, seeds.groupby("length")["value"].mean()))
    if len(floor):
        lines.append(line(_FLOOR, "", floor))
    n = sorted(set(rows["n"]))
    note = ". ".join(
        [f"{chosen.stamp()} · n = {', '.join(f'{k:,}' for k in n)}", *unequal(models_frame(results))]
    )
    return render(pd.DataFrame(lines), note=note, caption="Accuracy on ListOps, mean over seeds.")


def trained_lengths(results: ResultSet) -> list[int]:
    """The lengths that any run trained on, ascending."""
    train = [task for spec in results.specs() for task in spec.get("train", [])]
    return sorted({task["max_length"] for task in train if "max_length" in task})


def _directions(rows: pd.DataFrame) -> list[str]:
    require("direction" in rows, "results lack the column 'direction'")
    return [direction for direction in DIRECTIONS if (rows["direction"] == direction).any()]


def _groups(results: ResultSet, rows: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Lengths tested, as those of training and the others; without any of training, all together."""
    tested, trained = sorted(set(rows["length"])), trained_lengths(results)
    inside = [length for length in tested if length in trained]
    if not inside:
        return [("all lengths", tested)]
    outside = [length for length in tested if length not in trained]
    return [("trained on", inside)] + ([("not trained on", outside)] if outside else [])


def _best_first(rows: pd.DataFrame) -> list[str]:
    """Mixers by mean accuracy in the first direction there is; ties in the order of the legend."""
    listed = in_order(rows["mixer"])
    first = rows[rows["direction"] == _directions(rows)[0]]
    means = first.groupby("mixer")["value"].mean()
    return sorted(listed, key=lambda mixer: (-means.get(mixer, -1.0), listed.index(mixer)))


def _floor(results: ResultSet) -> pd.Series:
    """What the most frequent answer scores, by length; empty where it was not measured."""
    if "majority" not in results.metrics:
        return pd.Series(dtype=float)
    return results.metric("majority").groupby("length")["value"].mean()


def _key(mixer: str) -> go.Scatter:
    """What the legend shows of a mixer, and nothing else: its line with its mark."""
    style = mixer_style(mixer)
    look = {"line": {"color": style.color, "dash": style.dash}, "marker": {"symbol": style.symbol, "size": 7}}
    names = {"name": style.label, "legendgroup": style.label}
    return go.Scatter(_NOWHERE, mode="lines+markers", showlegend=True, **names, **look)


def _floor_line(x, y, *, legend: bool) -> go.Scatter:
    return go.Scatter(
        x=rounded(x, 12),
        y=rounded(y),
        mode="lines",
        name=_FLOOR,
        legendgroup=_FLOOR,
        showlegend=legend,
        line={"color": GREY, "dash": "dash", "width": 1.5},
        hovertemplate=f"{_FLOOR}: %{{y:.3f}}<extra></extra>",
        meta="floor",
    )


def _span(values: list[float]) -> tuple[float, float]:
    """An axis from a little below the smallest of `values`, which is mostly the floor, to above the largest."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) + 0.01
    return max(0.0, low - margin), min(1.03, high + margin)


def _seed_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over lengths of each run: columns mixer, seed, value, n."""
    grouped = rows.groupby(["mixer", "seed"])
    means = grouped["value"].agg(lambda values: values.mean(skipna=False))
    return pd.DataFrame({"value": means, "n": grouped["n"].sum()}).reset_index()


def _symbol(direction: str) -> str:
    return "circle" if direction == DIRECTIONS[0] else "circle-open"


def _dots(seeds: pd.DataFrame, direction: str, place: dict[str, float]) -> list[go.Scatter]:
    """Every seed as a dot at its mixer's height, and the means as upright bars, intervals with them."""
    text = [
        f"<b>{mixer_style(row['mixer']).label}</b> {direction}, seed {row['seed']}"
        f"<br>accuracy {row['value']:.4g}<br>n = {row['n']:,} in all"
        for row in seeds.to_dict("records")
    ]
    estimates = {str(mixer): seed_interval(values) for mixer, values in seeds.groupby("mixer")["value"]}
    means = [
        f"<b>{mixer_style(mixer).label}</b> {direction}<br>mean of {e.n} seeds: {e.mean:.4g}"
        + ("" if e.low is None else f", 95 % t-interval {e.low:.3g} to {e.high:.3g}")
        for mixer, e in estimates.items()
    ]
    bars = None
    if any(e.low is not None for e in estimates.values()):
        half = [0 if e.high is None else e.high - e.mean for e in estimates.values()]
        bars = {"type": "data", "array": rounded(half), "thickness": 1.2, "width": 3, "color": GREY}
    shared = {
        "mode": "markers",
        "legendgroup": direction,
        "showlegend": False,
        "hovertemplate": "%{text}<extra></extra>",
    }
    dot = {"color": [mixer_style(mixer).color for mixer in seeds["mixer"]], "symbol": _symbol(direction)}
    bar = {"color": [mixer_style(mixer).color for mixer in estimates], "width": 3}
    return [
        go.Scatter(
            x=rounded(e.mean for e in estimates.values()),
            y=rounded(place[mixer] for mixer in estimates),
            error_x=bars,
            marker={"symbol": "line-ns", "size": 7, "line": bar},
            text=means,
            meta="mean",
            **shared,
        ),
        go.Scatter(
            x=rounded(seeds["value"]),
            y=rounded(place[mixer] for mixer in seeds["mixer"]),
            marker=dot | {"size": 8, "opacity": 0.75},
            text=text,
            meta="seeds",
            **shared,
        ),
    ]
