"""LRA Text: accuracy by the bytes that are read of a review, how training went, and what it cost.

Causal models and those that read both ways are different questions: each has its panels and its rows.
"""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.crowd import crowded
from hmlcore.figures.marks import add_keys, panels
from hmlcore.figures.style import DIRECTIONS, in_order, mixer_style, rounded, stamp
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.statistics import wilson_interval
from hmlcore.results.text import bytes_text, three
from hmlcore.results.tuning import tuned
from hmlcore.studies.lra.claims import trained_length
from hmlcore.studies.lra.listops import listops_by_length

LEVELS = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""The accuracies whose time is told, where any model reaches them."""
_SHARE = 5  # a training accuracy is the mean of the latest fifth of the curve: single points are few reviews


def text_by_length(results: ResultSet) -> go.Figure:
    """Accuracy against the bytes that are read of a review, a panel a direction, every seed a dot, HML thick.

    Dotted: the length of training. Dashed grey: what the most frequent answer scores.
    """
    fig = listops_by_length(results)
    for axis in fig.select_xaxes():
        if axis.title.text:
            axis.title.text = "bytes of a review, at most"
    return fig


def text_learning(results: ResultSet) -> go.Figure:
    """Accuracy on the batches of training against steps, a panel a direction, mean over seeds, HML thick.

    Every batch is scored before it is learned from; a point is the mean of the latest fifth of the training.
    """
    results = tuned(results)
    rows = _running(results)
    directions = _directions(rows)
    fig, cells = panels(directions, "step", "accuracy in training", height=360)
    add_keys(fig, rows["mixer"])
    for direction, where in zip(directions, cells, strict=True):
        here = rows[rows["direction"] == direction]
        for mixer in in_order(here["mixer"]):
            style, part = mixer_style(mixer), here[here["mixer"] == mixer]
            points = [(step, at.sort_values("seed")) for step, at in part.groupby("step")]
            text = [
                "<br>".join(
                    [f"<b>{style.label}</b> {at['value'].mean():.3f} at step {step:,}"]
                    + [f"seed {seed}: {value:.3f}" for seed, value in zip(at["seed"], at["value"], strict=True)]
                )
                for step, at in points
            ]
            curve = go.Scatter(
                x=rounded((step for step, _ in points), 8), y=rounded(at["value"].mean() for _, at in points),
                mode="lines", name=style.label, legendgroup=style.label, showlegend=False, meta="mean",
                line={"color": style.color, "dash": style.dash},
                text=text, hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip
            fig.add_trace(curve, **where)
    return stamp(crowded(fig), results)


def text_scores(results: ResultSet) -> Table:
    """Accuracy and macro-F1 at the length of training, with Wilson's interval of the accuracy over the test
    reviews, and accuracy at the longest; means over seeds, the best of a direction first.
    """
    chosen = tuned(results)
    trained, rows = trained_length(chosen), chosen.metric("accuracy")
    longest, f1 = rows["length"].max(), chosen.metric("macro_f1")
    lines = []
    for direction in _directions(rows):
        here = rows[rows["direction"] == direction]
        at = {length: _means(here[here["length"] == length]) for length in (trained, longest)}
        scores = _means(f1[(f1["direction"] == direction) & (f1["length"] == trained)])
        best_first = at[trained].sort_values(ascending=False, kind="stable").index  # what diverged comes last
        for mixer in best_first:
            own = here[(here["mixer"] == mixer) & (here["length"] == trained)]
            lines.append(
                {
                    "mixer": mixer_style(mixer).label, "direction": direction,
                    f"accuracy, {trained:,} bytes": f"{at[trained][mixer]:.3f}",
                    "Wilson 95 %": _wilson(at[trained][mixer], own["n"].max()),
                    f"macro-F1, {trained:,} bytes": f"{scores[mixer]:.3f}",
                    f"accuracy, {longest:,} bytes": f"{at[longest][mixer]:.3f}",
                    "seeds": int(own["seed"].nunique()),
                }
            )  # fmt: skip
    floor = chosen.metric("majority")
    floor = floor[floor["length"] == trained]["value"].mean()
    n = sorted({int(count) for count in rows["n"]})
    note = (
        f"{chosen.stamp()} · n = {'–'.join(f'{count:,}' for count in n)} reviews, the same for every seed: the "
        f"interval is that of the reviews and says nothing of another seed · most frequent answer {floor:.3f}"
    )
    note = ". ".join([note, *unequal(models_frame(results))])
    return render(pd.DataFrame(lines), note=note, caption="Accuracy on reviews read as bytes.")


def text_costs(results: ResultSet) -> Table:
    """Parameters, state, operations, speed, peak memory, and the seconds of training until an accuracy is
    reached; means over seeds, a row a mixer and direction.

    Reached: the mean of the latest fifth of the training is at least so much. Where only some seeds reach it,
    their number is in brackets.
    """
    chosen = tuned(results)
    running, runs = _running(chosen), chosen.runs()
    memory = _peak_memory(chosen)
    levels = [level for level in LEVELS if (running["value"] >= level).any()]
    lines = []
    for direction in _directions(running):
        for mixer in in_order(running.loc[running["direction"] == direction, "mixer"]):
            own = runs[(runs["mixer"] == mixer) & (runs["direction"] == direction)]
            trained = chosen.where(mixer=mixer, direction=direction).metric("loss", split="train")
            line = {
                "mixer": mixer_style(mixer).label, "direction": direction,
                "parameters": int(own["parameters"].max()), "state": bytes_text(trained["state_bytes"].max()),
                "MFLOPs a token": f"{trained['flops_per_token'].max() / 1e6:.3g}",
                "tokens a second": three(own["tokens_per_s"].mean()),
                "peak memory": _told(memory.reindex(own.index).mean()),
            }  # fmt: skip
            lines.append(line | {f"s to {level:g}": _seconds(running, own, level) for level in levels})
    note = (
        f"{chosen.stamp()} · state and operations at {trained_length(chosen):,} bytes; speed, memory and "
        "seconds as they were in training, beside other runs; on a CPU memory is that of the whole process"
    )
    return render(pd.DataFrame(lines), note=note, caption="What reading reviews costs.")


def _running(results: ResultSet) -> pd.DataFrame:
    """The accuracies of training, each the mean of the latest fifth of its run's curve."""
    rows = results.metric("accuracy", split="train").sort_values(["spec_hash", "step"])
    means = rows.groupby("spec_hash")["value"].transform(_rolled)
    return rows.assign(value=means).dropna(subset=["value"])


def _rolled(curve: pd.Series) -> pd.Series:
    return curve.rolling(max(1, len(curve) // _SHARE)).mean()


def _seconds(running: pd.DataFrame, runs: pd.DataFrame, level: float) -> str:
    """Mean seconds of `runs` to `level`, of those that reach it."""
    reached = running[running["spec_hash"].isin(runs.index) & (running["value"] >= level)]
    first = reached.groupby("spec_hash")["step"].min()
    if first.empty:
        return ""
    seconds = (runs["wall_s"] * first / runs["steps"]).dropna()
    return three(seconds.mean()) + (f" ({len(seconds)} of {len(runs)})" if len(seconds) < len(runs) else "")


def _peak_memory(results: ResultSet) -> pd.Series:
    """Bytes by spec hash; empty where no system told them."""
    if "peak_memory_bytes" not in results.metrics:
        return pd.Series(dtype=float)
    return results.metric("peak_memory_bytes", split="train").groupby("spec_hash")["value"].max()


def _told(count: float) -> str:
    return "" if count != count else bytes_text(count)


def _directions(rows: pd.DataFrame) -> list[str]:
    return [direction for direction in DIRECTIONS if (rows["direction"] == direction).any()]


def _means(rows: pd.DataFrame) -> pd.Series:
    """By mixer, in the order of the legend."""
    return rows.groupby("mixer")["value"].mean().loc[in_order(rows["mixer"])]


def _wilson(accuracy: float, n: int) -> str:
    if accuracy != accuracy or n < 1:
        return ""
    low, high = wilson_interval(accuracy, n)
    return f"{low:.3f} to {high:.3f}"
