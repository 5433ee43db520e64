"""What running text quotes of the bake-off, the physics, the operations' speed and the controlled tasks.

Each function takes the tuned results of one experiment and returns names and texts, as in `results.numbers`. A
name that ends in _range holds the smallest and largest seed: with three seeds there is no interval.
"""

import math

import pandas as pd

from hmlcore.results.needle_score import NEEDLE_SCORE
from hmlcore.results.resultset import ResultSet
from hmlcore.results.text import bytes_text, signed, three

_SIGNS = str.maketrans({"½": "half", "¼": "quarter"})  # which a name would otherwise lose
_SCORES = {"copy": "exact", "adding": "within_one", "text": "bits_per_byte"}


def bakeoff(results: ResultSet) -> dict[str, str]:
    """Scores by variant and task, mean over the conditions: accuracy, of text bits per byte."""
    found = {}
    for (task, variant), rows in _scores(results, ["task", "variant"]):
        found |= _seeds(f"bakeoff_{variant}_{task}", rows)
    return found


def physics(results: ResultSet) -> dict[str, str]:
    """The largest growth a token of the undamped leapfrog, and the oscillator's error after its way back."""
    found = {}
    if "lyapunov" in results.metrics:
        rows = results.metric("lyapunov")
        grows = rows[(rows["dynamics"] == "leapfrog") & (rows["gamma"] == 1)]["value"]
        if len(grows):
            found["physics_leapfrog_undamped_growth"] = signed(grows.max())
    if "reversal_error" in results.metrics:
        rows = results.metric("reversal_error")
        rows = rows[(rows["dynamics"] == "oscillator") & (rows["rho"] == 1)].sort_values("tokens")
        if len(rows):
            found["physics_reversal_tokens"] = f"{rows['tokens'].iloc[-1]:,.0f}"
            found["physics_oscillator_reversal_error"] = three(rows["value"].iloc[-1])
    return found


def op_speed(results: ResultSet) -> dict[str, str]:
    """How many times as fast as each other operation ours trains, at the longest length that both have."""
    if "seconds_train" not in results.metrics:
        return {}
    rows = results.metric("seconds_train")
    times = rows.pivot_table(index="length", columns="mixer", values="value")
    found = {}
    for own in ("op:hml-p1", "op:hml-p2"):
        for other in times.columns.drop(own) if own in times else ():
            ratio = (times[other] / times[own]).dropna()
            if len(ratio):
                found[f"op_speed_{own}_against_{other}"] = three(ratio.iloc[-1])
                found[f"op_speed_{own}_against_{other}_length"] = f"{ratio.index[-1]:,.0f}"
    return found


def needle(results: ResultSet) -> dict[str, str]:
    """Accuracy of letters, or in prose the share of whole numbers, mean over depths, at the shortest length and
    at the longest."""
    metric, _ = NEEDLE_SCORE[results.experiment]
    rows = results.metric(metric) if metric in results.metrics else pd.DataFrame()
    if "depth" not in rows:
        return {}
    rows, found = rows[rows["depth"].notna()], {}
    for name, length in (("shortest", rows["length"].min()), ("longest", rows["length"].max())):
        found[f"{results.experiment}_length_{name}"] = f"{length:,.0f}"
        for mixer, part in rows[rows["length"] == length].groupby("mixer"):
            found |= _seeds(f"{results.experiment}_{mixer}_{name}", part)
    return found


def tasks(results: ResultSet) -> dict[str, str]:
    """Scores by mixer and task, mean over the conditions; of copy whole messages, of adding sums within .01."""
    found = {}
    for (task, mixer), rows in _scores(results, ["task", "mixer"]):
        found |= _seeds(f"synthetic_tasks_{mixer}_{task}", rows)
    return found


def frontier(results: ResultSet) -> dict[str, str]:
    """Accuracy, mean over widths and pairs, with the states' bytes, and HML's distance paired by seed."""
    if "accuracy" not in results.metrics:
        return {}
    rows, found = results.metric("accuracy"), {}
    for mixer, part in rows.groupby("mixer"):
        found |= _seeds(f"synthetic_recall_{mixer}", part)
        low, high = (bytes_text(size) for size in (part["state_bytes"].min(), part["state_bytes"].max()))
        found[f"synthetic_recall_{mixer}_state"] = low if low == high else f"{low}–{high}"
    seeds = rows.pivot_table(index="seed", columns="mixer", values="value")
    for mixer in seeds.columns.drop("hml", errors="ignore") if "hml" in seeds else ():
        found |= _differences(f"synthetic_recall_hml_minus_{mixer}", seeds["hml"] - seeds[mixer])
    return found


def gradient(results: ResultSet) -> dict[str, str]:
    """g_early / g_late after training, the geometric mean of the seeds."""
    if "early_late" not in results.metrics:
        return {}
    rows = results.metric("early_late", stage="trained")
    return {
        f"synthetic_gradient_{variant}_early_late": f"{math.exp(values.map(math.log).mean()):.2g}"
        for variant, values in rows[rows["value"] > 0].groupby("variant")["value"]
    }


def ablation(results: ResultSet) -> dict[str, str]:
    """Accuracy on a task minus the base's, paired by seed."""
    if "accuracy" not in results.metrics:
        return {}
    means, found = results.metric("accuracy").groupby(["task", "variant", "seed"])["value"].mean(), {}
    for task, variant in means.index.droplevel("seed").unique():
        if variant != "base" and (task, "base") in means.index.droplevel("seed"):
            gaps = means[task, variant] - means[task, "base"]
            found |= _differences(f"synthetic_ablation_{variant.translate(_SIGNS)}_{task}", gaps)
    return found


COLLECT = {
    "bakeoff": bakeoff, "physics": physics, "op_speed": op_speed, "synthetic_needle": needle,
    "synthetic_needle_text": needle, "synthetic_tasks": tasks, "synthetic_recall": frontier,
    "synthetic_gradient": gradient, "synthetic_ablation": ablation,
}  # fmt: skip
"""Experiment to what is quoted of it beside its runs."""


def _scores(results: ResultSet, by: list[str]):
    """The test rows of the metric that a task is scored by, grouped."""
    frame = results.frame
    wanted = frame["task"].map(lambda task: _SCORES.get(task, "accuracy")) if "task" in frame else ""
    rows = frame[(frame["split"] == "test") & (frame["metric"] == wanted)]
    return rows.groupby(by) if len(rows) else ()


def _seeds(name: str, rows: pd.DataFrame) -> dict[str, str]:
    seeds = rows.groupby("seed")["value"].mean()
    return {name: three(seeds.mean()), f"{name}_range": f"{three(seeds.min())}–{three(seeds.max())}"}


def _differences(name: str, gaps: pd.Series) -> dict[str, str]:
    return {name: signed(gaps.mean()), f"{name}_range": f"{signed(gaps.min())} to {signed(gaps.max())}"}
