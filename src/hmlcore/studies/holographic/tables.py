"""Tables of what the layer learns, by tasks, parts and bits of its state; of text, and of sizes."""

import pandas as pd

from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.studies.holographic import LAYER, RIVALS
from hmlcore.studies.holographic.variants import PARTS


def _cells(results: ResultSet, tasks: list[str], variants: list[str]) -> pd.DataFrame:
    lines = []
    for variant in variants:
        line = {"memory": variant}
        for task in tasks:
            metric = "score" if task == "bytes" else "accuracy"
            rows = results.metric(metric, split="test", task=task)
            by = rows[rows["variant"] == variant].groupby("seed")["value"].mean()
            if len(by):
                sign = -1 if task == "bytes" else 1
                spread = f" ± {by.std():.3f}" if len(by) > 1 else ""
                line[f"{task}, bits" if task == "bytes" else task] = f"{sign * by.mean():.3f}{spread}"
        rows = results.metric("accuracy", split="test", task=tasks[0], variant=variant)
        line["state"] = bytes_text(rows["state_bytes"].max()) if len(rows) else ""
        lines.append(line)
    return pd.DataFrame(lines).fillna("")  # some variants are asked for one task alone


def holographic_tasks(results: ResultSet) -> Table:
    """Mean and standard deviation over seeds of test accuracy, over a task's sizes; books in bits a byte."""
    found = set(results.metric("score", split="test")["task"])
    tasks = [t for t in ("recall", "overwrite", "copy", "needle", "bytes") if t in found]
    frame = _cells(results, tasks, [LAYER, *RIVALS])
    note = f"{results.stamp()} · equal parameters, each at its own learning rate, state at the longest recall"
    return render(
        frame, note=note, caption="Superposed bindings and other memories: accuracy, and bits a byte."
    )


def holographic_parts(results: ResultSet) -> Table:
    """The same for every variant of the layer, on recall and on overwriting; of a loss beside the task's, what
    it came down to."""
    rows = results.metric("accuracy", split="test")
    variants = [name for name in PARTS if name in set(rows["variant"])]
    frame = _cells(results, ["recall", "overwrite"], variants)
    weights = {s["variant"]: s["auxiliary"] for s in results.specs() if "auxiliary" in s}
    if weights:
        beside = results.metric("auxiliary_mixer", split="train")
        last = beside[beside["step"] == beside["step"].max()].groupby("variant")["value"].mean()
        frame.insert(3, "its own loss, nats", [f"{last[v]:.3f}" if v in last else "" for v in variants])
        frame.insert(3, "of weight", [f"{weights[v]:g}" if v in weights else "" for v in variants])
    return render(frame, note=results.stamp(), caption="Bindings, slots, decays and losses: accuracy.")


def stored_reading(results: ResultSet) -> Table:
    """The trained layer's recall with its state stored in fewer bits between pairs and questions."""
    rows = results.metric("accuracy_stored", split="test")
    lines = []
    for stored, own in rows.groupby("stored", sort=False):
        cells = {"stored as": stored}
        for pairs, part in own.groupby("pairs"):
            spread = f" ± {part['value'].std():.3f}" if len(part) > 1 else ""
            cells[f"{pairs:,.0f} pairs"] = f"{part['value'].mean():.3f}{spread}"
        lines.append(cells)
    return render(
        pd.DataFrame(lines), note=results.stamp(), caption="Recall of a trained layer, by bits of state."
    )


def holographic_text(results: ResultSet) -> Table:
    """Losses at the start and the end of a quick training, and what a byte and a word of the test cost."""
    curve, lines = results.metric("loss", split="train"), []
    scores = results.metric("bits_per_token", split="test")
    size, word, floor = (
        float(results.metric(name, split="test")["value"].mean())
        for name in ("bytes_per_token", "bytes_per_word", "ngram_bits_per_byte")
    )
    for variant, own in curve.groupby("variant", sort=False):
        ends = own.groupby("step")["value"].mean()
        bits = scores.loc[scores["variant"] == variant, "value"] / size
        lines.append({
            "memory": variant, "loss at first": f"{ends.iloc[0]:.2f}", "at last": f"{ends.iloc[-1]:.2f}",
            "bits a byte": f"{bits.mean():.3f}", "perplexity of a word": f"{(2 ** (bits * word)).mean():.3g}",
        })  # fmt: skip
    trained = next(iter(set(results.runs()["data_version"])), "")
    note = f"{results.stamp()} · {trained} · an n-gram model of the same training: {floor:.3f} bits a byte"
    return render(pd.DataFrame(lines), note=note, caption="A quick training, tested on WikiText-2.")


def holographic_sizes(results: ResultSet) -> Table:
    """Parameters, state and work of the sizes that the system was described in, and a step of the smallest."""
    rows = results.frame[results.frame["metric"].notna()]
    lines = []
    for millions, own in rows.groupby("millions"):
        by = own.groupby("metric")["value"].max()
        line = {
            "size": f"{millions} M", "parameters": f"{by['parameters']:,.0f}",
            "state": bytes_text(4 * by["state_floats"]),
            "operations a token": f"{by['flops_per_token'] / 1e6:.0f} M",
        }  # fmt: skip
        if "peak_bytes" in by:
            line |= {
                "memory of a step": bytes_text(by["peak_bytes"]),
                "of a core": f"{by['cpu_seconds']:.0f} s",
            }
        lines.append(line)
    lengths = rows.loc[rows["metric"] == "peak_bytes", "length"]
    note = f"{results.stamp()} · a step of training reads {lengths.max():,.0f} tokens"
    return render(
        pd.DataFrame(lines).fillna(""), note=note, caption="Sizes, counted; one step of the smallest, measured."
    )
