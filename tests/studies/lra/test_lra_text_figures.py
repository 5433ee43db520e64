"""Figures and tables of LRA Text: directions apart, times to an accuracy, and ours beside the published."""

import re

import pytest
from made_up_results import ALL_MIXERS, DIRECTIONS, READS, listops_run, loaded, review_run

from hmlcore.figures.style import mixer_style
from hmlcore.results import Run, Store
from hmlcore.results.tuning import tuned
from hmlcore.studies.lra.published import OURS, PUBLISHED, lra_published
from hmlcore.studies.lra.setup import lra_setup
from hmlcore.studies.lra.text import LEVELS, text_by_length, text_costs, text_learning, text_scores


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Reviews of all mixers as the laptop has them, at two rates with one seed; ListOps of three mixers."""
    store = Store(tmp_path_factory.mktemp("store"))
    for mixer in ALL_MIXERS:
        store.write(review_run(mixer, 0, lr=0.01))
        for seed in range(3):
            for direction in DIRECTIONS:
                store.write(review_run(mixer, seed, direction=direction))
                if mixer in OURS:
                    store.write(listops_run(mixer, seed, direction=direction))
    return store


@pytest.fixture(scope="module")
def results(store):
    return loaded(store, "lra_text")


@pytest.fixture(scope="module")
def listops(store):
    return loaded(store, "lra_listops")


def cells(table):
    """Column name → cell, a dictionary a row."""
    head = re.findall(r"<th>(.*?)</th>", table.html)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.html.split("<tr>")[1:]]
    return [dict(zip(head, row, strict=True)) for row in rows if row]


def row_of(table, mixer, direction):
    (row,) = (r for r in cells(table) if r["mixer"] == mixer_style(mixer).label and r["direction"] == direction)
    return row


def test_lengths_are_bytes_and_the_trained_one_is_marked(results):
    fig = text_by_length(results)
    titles = {axis.title.text for axis in fig.select_xaxes() if axis.title.text}
    assert titles == {"bytes of a review, at most"}
    assert {t.x for t in fig.data if t.meta == "limit"} == {(READS[1], READS[1])}
    rows = tuned(results).metric("accuracy")
    for axis, direction in (("x", "causal"), ("x2", "bidirectional")):
        drawn = sorted(y for t in fig.data if t.meta == "seeds" and t.xaxis == axis for y in t.y)
        assert drawn == pytest.approx(sorted(rows[rows["direction"] == direction]["value"]), abs=1e-4)


def test_learning_is_the_mean_of_the_latest_fifth(results):
    fig = text_learning(results)
    curves = [t for t in fig.data if t.meta == "mean"]
    assert len(curves) == len(ALL_MIXERS) * len(DIRECTIONS)
    curve = next(t for t in curves if t.name == "GRU" and t.xaxis == "x2")
    rows = tuned(results).metric("accuracy", split="train", mixer="gru", direction="bidirectional")
    by_step = rows.groupby("step")["value"].mean()
    assert curve.x[0] == 300 and curve.x[-1] == 1500  # sixty points: the first twelve make one
    assert curve.y[-1] == pytest.approx(by_step.iloc[-12:].mean(), abs=1e-4)
    assert curve.y[-1] < by_step.iloc[-1] - 0.005
    assert curve.text[-1].count("seed ") == 3
    assert len({t.line.width for t in curves if t.name != "HML"}) == 1
    assert all(t.line.width > curve.line.width for t in curves if t.name == "HML")


def test_scores_are_means_with_the_interval_of_the_reviews_best_first(results):
    table = text_scores(results)
    rows = tuned(results).metric("accuracy", length=READS[1], mixer="gru", direction="causal")
    row, mean = row_of(table, "gru", "causal"), rows["value"].mean()
    assert row["accuracy, 256 bytes"] == f"{mean:.3f}" and row["seeds"] == "3"
    low, high = map(float, row["Wilson 95 %"].split(" to "))
    # 1.96 standard errors of 500 reviews: not of the 1,500 answers of three seeds
    assert high - low == pytest.approx(2 * 1.96 * (mean * (1 - mean) / 500) ** 0.5, rel=0.02)
    assert float(row["macro-F1, 256 bytes"]) == pytest.approx(mean - 0.02, abs=1.1e-3)
    longest = tuned(results).metric("accuracy", length=READS[2], mixer="gru", direction="causal")
    assert row["accuracy, 512 bytes"] == f"{longest['value'].mean():.3f}"
    for direction in DIRECTIONS:
        scores = [float(r["accuracy, 256 bytes"]) for r in cells(table) if r["direction"] == direction]
        assert len(scores) == len(ALL_MIXERS) and scores == sorted(scores, reverse=True)
    assert "most frequent answer 0.506" in table.html and "n = 500 reviews" in table.html


def test_seconds_to_an_accuracy_come_from_the_curve(results):
    table = text_costs(results)
    row = row_of(table, "hml", "bidirectional")
    # It rises evenly from .5 to .74 in 1,500 steps and 30 s; the mean of twelve points lags by 5.5 of 25 steps.
    step = 25 * (-(-(0.6 - 0.5) / 0.24 * 1500 // 25) + 6)
    assert float(row["s to 0.6"]) == pytest.approx(30 * step / 1500, abs=0.6)
    reached = [float(row[f"s to {level:g}"]) for level in LEVELS if level <= 0.7]
    assert reached == sorted(reached) and len(reached) == 4
    assert "s to 0.75" not in row  # nobody gets there
    last = row_of(table, ALL_MIXERS[-1], "causal")
    assert last["s to 0.55"] and last["s to 0.6"] == ""  # ends at .6, the mean of its last fifth below
    assert row["parameters"] == "101,000" and row["peak memory"] == "381 MiB"


def test_where_some_seeds_reach_an_accuracy_their_number_is_told(tmp_path):
    store = Store(tmp_path)
    for seed in range(3):
        run = review_run("hml", seed)
        low = [{**row, "value": min(row["value"], 0.52)} for row in run.rows] if seed else run.rows
        store.write(Run(run.spec, run.provenance, low))
    row = row_of(text_costs(loaded(store, "lra_text")), "hml", "causal")
    assert row["s to 0.55"].endswith("(1 of 3)")


def test_one_run_without_a_reading_of_memory_is_enough(tmp_path):
    store, run = Store(tmp_path), review_run("gru", 4)
    store.write(Run(run.spec, run.provenance, [r for r in run.rows if r["metric"] != "peak_memory_bytes"]))
    alone = loaded(store, "lra_text")
    for function in (text_by_length, text_learning, text_scores, text_costs):
        assert function(alone) is not None
    assert row_of(text_costs(alone), "gru", "causal")["peak memory"] == ""


def test_ours_stand_above_the_published_at_their_longest_trained_length(listops, results):
    rows = cells(lra_published(listops, results))
    assert len(rows) == len(OURS) * len(DIRECTIONS) + len(PUBLISHED)
    own = next(r for r in rows if r["model"] == "HML, ours" and r["reads"] == "bidirectional")
    for name, source, length in (("ListOps", listops, 128), ("Text", results, READS[1])):
        part = tuned(source).metric("accuracy", mixer="hml", direction="bidirectional", length=length)
        assert own[name] == f"{100 * part['value'].mean():.1f}"
    s5 = next(r for r in rows if r["model"] == "S5")
    assert (s5["ListOps"], s5["Text"], s5["reads"]) == ("62.15", "89.31", "bidirectional")
    note = lra_published(listops, results).html
    assert "ListOps to 128 and Text to 256 tokens" in note


def test_the_published_need_none_of_ours(listops):
    rows = cells(lra_published(listops, None))
    ours = [r for r in rows if r["model"].endswith("ours")]
    assert all(r["ListOps"] and not r["Text"] for r in ours)
    assert not any(r["ListOps"] or r["parameters"] for r in cells(lra_published(None, None))[: len(ours)])


def test_every_published_number_has_a_source_and_says_how_it_reads():
    assert all(row.source and row.reads in ("bidirectional", "not stated") for row in PUBLISHED)
    assert all(10 < x < 100 for row in PUBLISHED for x in (row.listops, row.text) if x is not None)
    assert len({row.model for row in PUBLISHED}) == len(PUBLISHED)
    disagreeing = [row for row in PUBLISHED if row.model.startswith("Mamba")]
    assert len({row.listops for row in disagreeing}) > 1 and all("disagree" in r.remark for r in disagreeing)


def test_setup_tells_directions_and_splits_apart():
    def spec(direction, lr, seed):
        entries = [("validation", 256, 400), ("test", 256, 500), ("test", 128, 500)]
        evaluate = [{"split": split, "max_length": length, "examples": n} for split, length, n in entries]
        return {
            "direction": direction, "lr": lr, "seed": seed, "steps": 120, "batch_size": 16,
            "model": {"layers": 2, "d_model": 32, "target_parameters": 34_568},
            "train": [{"max_length": 256}], "evaluate": evaluate,
        }  # fmt: skip

    causal = [spec("causal", lr, seed) for lr in (0.01, 0.003) for seed in (0, 1)]
    table = lra_setup({"Text, laptop": [*causal, spec("bidirectional", 0.003, 0)], "ListOps": causal[:1]})
    found = {row[""]: (row["Text, laptop"], row["ListOps"]) for row in cells(table)}
    assert found["learning rates tried"] == ("0.003, 0.01 causal; 0.003 bidirectional", "0.01 causal")
    assert found["seeds"] == ("2", "1") and found["parameters, all mixers"][0] == "34,568"
    assert found["sequences seen in training"][0] == "1,920"
    assert found["read in the test, at most"][0] == "128, 256"
    assert found["sequences of the test"][0] == "500" and found["sequences that choose the rate"][0] == "400"
