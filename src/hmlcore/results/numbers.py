"""The numbers that running text quotes, by name: the book and the paper print these and no others."""

import json
import re

import pandas as pd

from hmlcore.errors import HmlcoreError
from hmlcore.results.resultset import ResultSet, device_label
from hmlcore.results.store import Store
from hmlcore.results.task_numbers import COLLECT
from hmlcore.results.text import bytes_text, signed, three
from hmlcore.results.tuning import tuned

_LATEX = str.maketrans({"–": "--", "−": "$-$", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#"})
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def numbers(store: Store, profile: str) -> dict[str, str]:
    """Name to formatted number, from all that `store` has at `profile`.

    Scores are means over seeds on the test split, at the learning rate chosen on validation. What has not been
    measured (or only diverged) has no entry, nor has an experiment whose tuning is unfinished.

    ======================================  ==========================================================
    <experiment>_runs, _seeds, _device      how many, on what
    <experiment>_<mixer>_parameters, _lr    of the models; of several, the smallest and largest
    copy_payload_trained, _delay_trained    the most that training covered
    copy_delay_longest                      the longest delay tested
    copy_<mixer>_trained                    whole payloads right, mean inside what training covered
    copy_<mixer>_longest                    at the longest delay and the largest payload of training
    recall_pairs_trained, _most             most pairs of training, and of the tests
    recall_<mixer>_best, _best_state        at the most pairs of training: best width, and its state
    recall_<mixer>_most                     at the most pairs tested, best width
    bytes_context, bytes_context_long       of training, and the longest tested
    bytes_<corpus>_<mixer>_bpb, _bpb_long   bits per byte at these
    bytes_<corpus>_hml_minus_<mixer>        bits per byte at bytes_context, paired by seed
    lra_…_length_trained, _length_longest   lra_listops, lra_text: longest inputs of training, and of the tests
    lra_…_examples, _examples_tested        trained on, where that is a setting; behind a score
    lra_…_floor, _floor_longest             what the most frequent answer scores, as the next two
    lra_…_<mixer>_trained                   causal accuracy, mean over the lengths of training
    lra_…_<mixer>_longest                   causal accuracy at the longest inputs
    lra_…_<mixer>_both                      bidirectional accuracy, mean over the lengths of training
    pg19_context, pg19_context_long         of training, and the longest tested: byte pairs, random windows
    pg19_books                              test books
    pg19_<mixer>_bpb, _bpb_long             bits per byte of all books at these
    pg19_hml_minus_<mixer>                  bits per byte at the longest, paired by seed
    speed_longest                           the longest sequence that attention was trained on
    speed_<mixer>_ratio_attention_longest   the mixer's time for a training step over attention's, there
    speed_<mixer>_crossover                 shortest length timed from which on it is faster than attention
    speed_decode_…, speed_memory_…          the same three of decoding a token, and of peak memory
    bakeoff_…, physics_…, op_speed_…        see `results.task_numbers`, as for synthetic_…
    ======================================  ==========================================================
    """
    found = {}
    for experiment, collect in _COLLECT.items():
        if not store.has_any(profile, experiment):
            continue
        results = store.load(profile, experiment)
        try:
            results = tuned(results)
        except HmlcoreError:
            continue  # learning rates that cannot be compared yet
        found |= _runs(results) | collect(results)
    return {_name(key): value for key, value in found.items() if "nan" not in value}


def numbers_json(found: dict[str, str]) -> str:
    """The dictionary as a JSON file, sorted."""
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def numbers_tex(found: dict[str, str]) -> str:
    """One macro a number: ``recall_hml_best`` becomes ``\\hmlRecallHmlBest``, digits of names are spelled."""
    lines = []
    for name in sorted(found):
        words = (re.sub(r"\d", lambda digit: _DIGITS[int(digit[0])], word) for word in name.split("_"))
        macro = "hml" + "".join(word[:1].upper() + word[1:] for word in words)
        value = found[name].translate(_LATEX)
        lines.append(f"\\newcommand{{\\{macro}}}{{{value}}}\n")
    return "".join(lines)


def _runs(results: ResultSet) -> dict[str, str]:
    runs, experiment = results.runs(), results.experiment
    counts = runs.groupby("mixer")["seed"].nunique()
    found = {
        f"{experiment}_runs": str(len(runs)),
        f"{experiment}_seeds": _span(counts, str),
        f"{experiment}_device": " and ".join(sorted({device_label(d) for d in runs["device"]})),
    }
    for mixer, group in runs.groupby("mixer"):
        found[f"{experiment}_{mixer}_parameters"] = _span(group["parameters"], lambda count: f"{count:,}")
        if group["lr"].notna().any():  # what is only timed has none
            found[f"{experiment}_{mixer}_lr"] = _span(group["lr"], lambda lr: f"{lr:g}")
    return found


def _copy(results: ResultSet) -> dict[str, str]:
    if "exact" not in results.metrics:
        return {}
    rows, payload, delay = results.metric("exact"), _trained(results, "payload"), _trained(results, "delay")
    longest = rows["delay"].max()
    found = {"copy_delay_longest": f"{longest:,}"}
    if payload is None or delay is None:
        return found
    found |= {"copy_payload_trained": f"{payload:,}", "copy_delay_trained": f"{delay:,}"}
    for mixer, part in rows.groupby("mixer"):
        inside = part[(part["payload"] <= payload) & (part["delay"] <= delay)]
        far = part[(part["payload"] == payload) & (part["delay"] == longest)]
        found[f"copy_{mixer}_trained"] = three(inside["value"].mean())
        found[f"copy_{mixer}_longest"] = three(far["value"].mean())
    return found


def _recall(results: ResultSet) -> dict[str, str]:
    if "accuracy" not in results.metrics:
        return {}
    rows, trained = results.metric("accuracy"), _trained(results, "pairs")
    most = rows["pairs"].max()
    found = {"recall_pairs_most": f"{most:,}"}
    for mixer, part in rows.groupby("mixer"):
        found[f"recall_{mixer}_most"] = three(_by_width(part[part["pairs"] == most])["value"].max())
    if trained is None:
        return found
    found["recall_pairs_trained"] = f"{trained:,}"
    for mixer, part in rows[rows["pairs"] == trained].groupby("mixer"):
        widths = _by_width(part)
        if widths["value"].notna().any():
            best = widths.loc[widths["value"].idxmax()]
            found[f"recall_{mixer}_best"] = three(best["value"])
            found[f"recall_{mixer}_best_state"] = bytes_text(best["state_bytes"])
    return found


def _bytes(results: ResultSet) -> dict[str, str]:
    if "bits_per_byte" not in results.metrics:
        return {}
    rows, trained = results.metric("bits_per_byte"), _trained(results, "length")
    longest = rows["context"].max()
    found = {"bytes_context_long": f"{longest:,}"} | ({"bytes_context": f"{trained:,}"} if trained else {})
    for corpus, here in rows.groupby("corpus"):
        for mixer, part in here.groupby("mixer"):
            found[f"bytes_{corpus}_{mixer}_bpb_long"] = three(part[part["context"] == longest]["value"].mean())
            found[f"bytes_{corpus}_{mixer}_bpb"] = three(part[part["context"] == trained]["value"].mean())
        seeds = here[here["context"] == trained].pivot_table(index="seed", columns="mixer", values="value")
        for mixer in seeds.columns.drop("hml", errors="ignore") if "hml" in seeds else ():
            found[f"bytes_{corpus}_hml_minus_{mixer}"] = signed((seeds["hml"] - seeds[mixer]).mean())
    return found


def _pg19(results: ResultSet) -> dict[str, str]:
    frame = results.frame
    main = frame[(frame["task"] == "bpe") & (frame["variant"] == "windows")]
    rows = main[(main["metric"] == "bits_per_byte") & (main["split"] == "test")]
    if rows.empty:
        return {}
    trained, longest = main.loc[main["split"] == "validation", "context"].max(), rows["context"].max()
    found = {"pg19_context": f"{trained:,.0f}", "pg19_context_long": f"{longest:,.0f}"}
    whole = rows["document"] == "all"
    found["pg19_books"] = str(rows.loc[~whole, "document"].nunique())
    for mixer, part in rows[whole].groupby("mixer"):
        for name, context in (("bpb", trained), ("bpb_long", longest)):
            found[f"pg19_{mixer}_{name}"] = f"{part.loc[part['context'] == context, 'value'].mean():.3f}"
    seeds = rows[whole & (rows["context"] == longest)].pivot_table(
        index="seed", columns="mixer", values="value"
    )
    for mixer in seeds.columns.drop("hml", errors="ignore") if "hml" in seeds else ():
        found[f"pg19_hml_minus_{mixer}"] = signed((seeds["hml"] - seeds[mixer]).mean())
    return found


def _lra(results: ResultSet) -> dict[str, str]:
    """Of ListOps and of Text, under the experiment's name."""
    if "accuracy" not in results.metrics or "test" not in set(results.frame["split"]):
        return {}
    rows, trained = results.metric("accuracy", split="test"), _values(results, "max_length")
    name, longest = results.experiment, rows["length"].max()
    found = {
        f"{name}_length_longest": f"{longest:,}",
        f"{name}_examples_tested": _span(rows["n"], lambda n: f"{n:,}"),
    }
    if examples := _values(results, "training_examples"):
        found[f"{name}_examples"] = _span(pd.Series(examples), lambda n: f"{n:,}")
    if trained:
        found[f"{name}_length_trained"] = f"{max(trained):,}"
    inside = rows["length"].isin(trained)
    for kind, direction, part in (
        ("trained", "causal", rows[inside]),
        ("longest", "causal", rows[rows["length"] == longest]),
        ("both", "bidirectional", rows[inside]),
    ):
        for mixer, seeds in part[part["direction"] == direction].groupby("mixer"):
            found[f"{name}_{mixer}_{kind}"] = three(seeds["value"].mean())
    if "majority" in results.metrics:
        floor = results.metric("majority", split="test")
        if trained:
            found[f"{name}_floor"] = three(floor[floor["length"].isin(trained)]["value"].mean())
        found[f"{name}_floor_longest"] = three(floor[floor["length"] == longest]["value"].mean())
    return found


_COSTS = {"": "seconds_train", "decode_": "seconds_decode", "memory_": "peak_memory_bytes"}


def _speed(results: ResultSet) -> dict[str, str]:
    found = {}
    if len(results.frame[["device", "started_at"]].drop_duplicates()) > 1:  # not timed side by side
        return found
    for kind, metric in _COSTS.items():
        if metric not in results.metrics:
            continue
        rows = results.metric(metric)
        if "batch" in rows:  # a row a length: the largest batch, where there are several
            rows = rows[rows["batch"] == rows.groupby("length")["batch"].transform("max")]
        # The median, because a machine that is disturbed is only ever slower.
        costs = rows.pivot_table(index="length", columns="mixer", values="value", aggfunc="median").sort_index()
        if "attention" not in costs or costs["attention"].isna().all():
            continue
        longest = costs["attention"].last_valid_index()
        found[f"speed_{kind}longest"] = f"{longest:,}"
        for mixer in costs.columns.drop("attention"):
            ratio = (costs[mixer] / costs["attention"]).dropna()
            if longest in ratio:
                found[f"speed_{kind}{mixer}_ratio_attention_longest"] = three(ratio[longest])
            ahead = ratio.index[(ratio < 1)[::-1].cummin()[::-1]]
            if len(ahead):
                found[f"speed_{kind}{mixer}_crossover"] = f"{ahead[0]:,}"
    return found


_COLLECT = {
    "copy": _copy, "recall": _recall, "bytes": _bytes, "pg19": _pg19, "lra_listops": _lra,
    "lra_text": _lra, "speed": _speed, **COLLECT,
}  # fmt: skip
"""Experiment to what is quoted of it beside its runs."""


def _by_width(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, a row a width."""
    widths = rows["d_model"] if "d_model" in rows else pd.Series(0, index=rows.index)
    return rows.groupby(widths)[["value", "state_bytes"]].mean()


def _trained(results: ResultSet, knob: str) -> int | None:
    """The largest value of a task's knob in training."""
    return max(_values(results, knob), default=None)


def _values(results: ResultSet, knob: str) -> list[int]:
    """All values of a task's knob in training, ascending."""
    train = [task for spec in results.specs() for task in spec.get("train", [])]
    return sorted({task[knob] for task in train if knob in task})


def _span(values: pd.Series, text) -> str:
    low, high = values.min(), values.max()
    return text(high) if low == high else f"{text(low)}–{text(high)}"


def _name(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
