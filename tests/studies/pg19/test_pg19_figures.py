"""Figures and tables of the books: what is drawn is what was measured, and what was drawn stays as it was."""

import html

import numpy as np
import pytest
from made_up_results import BOOKS, READ, WINDOWED, book_run, loaded

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import mixer_style
from hmlcore.results import Store
from hmlcore.studies.pg19.curves import (
    pg19_by_context,
    pg19_learning,
    pg19_position,
    pg19_tokenizers,
    published,
    ways,
)
from hmlcore.studies.pg19.tables import pg19_costs, pg19_samples, pg19_scores, pg19_setup

BOTH = ("hml", "gated_deltanet", "attention")


@pytest.fixture(scope="module")
def results(made_up_store):
    return loaded(made_up_store, "pg19")


@pytest.fixture(scope="module")
def positions(results):
    return pg19_position(results)


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def drawn(fig, kind="seeds"):
    return sorted(
        (trace.name, float(x), round(float(y), 4))
        for trace in of_kind(fig, kind)
        for x, y in zip(trace.x, trace.y, strict=True)
    )


def wanted(rows, x):
    labels = [mixer_style(mixer).label for mixer in rows["mixer"]]
    each = zip(labels, rows[x], rows["value"], strict=True)
    return sorted((label, float(at), round(float(f"{value:.5g}"), 4)) for label, at, value in each)


def titles(fig):
    return [note.text for note in fig.layout.annotations if note.name != "stamp"]


def stamp_of(fig):
    return next(note.text for note in fig.layout.annotations if note.name == "stamp")


def test_runs_for_tuning_are_not_published(results):
    chosen = published(results)
    assert "tuning" in set(results.frame["variant"])
    assert set(chosen.frame["variant"]) == {"windows", "carried"}
    assert ways(results) == [("bpe", "windows"), ("bpe", "carried"), ("bytes", "windows")]


def test_every_seed_of_all_books_is_a_dot_and_a_way_of_training_a_panel(results):
    fig = pg19_by_context(results)
    rows = results.metric("bits_per_byte", task="bpe", document="all")
    assert drawn(fig) == wanted(rows, "context") and len(rows) == (12 + 2) * 3 * len(READ["bpe"])
    assert titles(fig) == ["random windows", "carried state"]
    assert [list(t.x) for t in of_kind(fig, "limit")] == [[256, 256]] * 2
    assert sorted(t.name for t in fig.data if t.showlegend) == sorted(mixer_style(m).label for m in WINDOWED)
    widths = {t.name: t.line.width for t in of_kind(fig, "mean")}
    assert widths["HML"] > max(width for name, width in widths.items() if name != "HML")
    assert "· 4 books · n = 24,000" in stamp_of(fig)
    assert "hml show " in of_kind(fig, "seeds")[0].text[0]


def test_without_carried_state_there_is_one_panel(results):
    fig = pg19_by_context(results.where(variant=["windows", "tuning"]))
    assert len(of_kind(fig, "limit")) == 1 and len(of_kind(fig, "seeds")) == len(WINDOWED)


@pytest.mark.parametrize(("seeds", "bars"), [(4, False), (5, True)])
def test_intervals_from_five_seeds_on(tmp_path, seeds, bars):
    store = Store(tmp_path)
    for seed in range(seeds):
        store.write(book_run("hml", seed))
    found = loaded(store, "pg19")
    (mean,) = of_kind(pg19_by_context(found), "mean")
    assert (mean.error_y.array is not None) == bars
    assert (" to " in pg19_scores(found).html) == bars


def test_tokenizers_meet_at_the_bytes_in_view(results):
    fig = pg19_tokenizers(results)
    assert titles(fig) == ["byte pairs", "bytes"]
    # Three bytes a token; the longest context is longer than a book, of which there are 6,000 tokens.
    views = {trace.xaxis: sorted(set(trace.x)) for trace in of_kind(fig, "seeds")}
    assert views == {"x": [768, 3072, 18_000], "x2": [256, 16_384]}
    rows = results.metric("bits_per_byte", variant="windows", document="all", mixer=BOTH)
    assert [d[2] for d in drawn(fig)] != [] and sorted(d[2] for d in drawn(fig)) == sorted(
        value for *_, value in wanted(rows, "context")
    )
    assert fig.layout.xaxis.range == fig.layout.xaxis2.range
    assert [t.x[0] for t in of_kind(fig, "limit")] == [768, 256]


def test_the_limit_is_the_training_context_also_where_shorter_ones_were_tested(results):
    frame = results.frame.copy()
    frame.loc[(frame["split"] == "validation") & (frame["task"] == "bpe"), "context"] = 1024
    assert [t.x[0] for t in of_kind(pg19_tokenizers(type(results)(frame, results.tuning)), "limit")] == [
        3072,
        256,
    ]


def test_tokenizers_without_a_mixer_in_common_are_refused(tmp_path):
    store = Store(tmp_path)
    store.write(book_run("hml", 0))
    store.write(book_run("gru", 0, task="bytes"))
    with pytest.raises(HmlcoreError, match="no mixer was trained on all of"):
        pg19_tokenizers(loaded(store, "pg19"))


def shown(fig, visible, axis):
    return {
        trace.name: dict(zip(trace.x, trace.y, strict=True))
        for trace, on in zip(fig.data, visible, strict=True)
        if on and trace.meta == "mean" and (trace.xaxis or "x") == axis
    }


@pytest.mark.parametrize(("number", "book"), list(enumerate(["all", *BOOKS])))
def test_the_slider_shows_one_book_and_its_gain_on_the_same_tokens(results, positions, number, book):
    fig = positions
    (slider,) = fig.layout.sliders
    assert [step.label for step in slider.steps] == ["all books", *BOOKS]
    visible = slider.steps[number].args[0]["visible"]
    if number == 0:
        assert [trace.visible for trace in fig.data] == list(visible)
    rows = results.metric("bits_per_byte_at", task="bpe", variant="windows", document=book)
    means = rows.groupby(["mixer", "context", "position"])["value"].mean()
    left, right = shown(fig, visible, "x"), shown(fig, visible, "x2")
    assert set(left) == set(right) == {mixer_style(mixer).label for mixer in WINDOWED}
    for mixer in WINDOWED:
        label = mixer_style(mixer).label
        for position in sorted(set(rows["position"])):
            far, near = means[mixer, 8192, position], means[mixer, 256, position]
            assert left[label][f"{position:,}"] == pytest.approx(far, rel=1e-4)
            assert right[label][f"{position:,}"] == pytest.approx(far - near, abs=1e-5)
    assert right["Attention"]["4,096"] > 0.4 and right["HML"]["4,096"] < -0.05


def test_gains_name_their_runs_and_other_tokens_have_none(results, positions):
    hover = next(t for t in of_kind(positions, "mean") if t.name == "HML").text[0]
    assert hover.count("hml show ") == 3 and "n = 256" in hover
    frame = results.frame.copy()
    frame.loc[(frame["context"] == 256) & (frame["position"] == 4096), "n"] += 1
    fig = pg19_position(type(results)(frame, results.tuning))
    visible = [trace.visible for trace in fig.data]
    assert "4,096" in shown(fig, visible, "x")["HML"] and "4,096" not in shown(fig, visible, "x2")["HML"]


def test_learning_is_drawn_over_the_text_that_was_read(results):
    fig = pg19_learning(results)
    assert titles(fig) == [
        "byte pairs, random windows", "byte pairs, carried state", "bytes, random windows",
    ]  # fmt: skip
    curves = of_kind(fig, "seeds")
    assert len(curves) == (len(WINDOWED) + 2 + 3) * 3
    for axis, megabytes in (("x", 9), ("x2", 9), ("x3", 3)):
        assert {max(t.x) for t in curves if (t.xaxis or "x") == axis} == {megabytes}
    run = results.metric("loss", split="train", mixer="gru", seed=1, variant="windows").sort_values("step")
    digest = run["spec_hash"].iloc[0][:8]
    (curve,) = [t for t in curves if f"hml show {digest}" in t.hovertemplate]
    assert list(curve.y) == pytest.approx(list(run["value"]), rel=1e-4)


def lines_of(table):
    return [line.split(" & ") for line in table.latex.splitlines() if line.endswith(r"\\")][1:]


def test_scores_are_sorted_and_compared_book_by_book(results):
    lines = lines_of(pg19_scores(results))
    groups = [[line for line in lines if line[1] == way] for way in dict.fromkeys(line[1] for line in lines)]
    assert [len(group) for group in groups] == [12, 2, 3]
    for group in groups:
        longest = [float(line[3]) for line in group]
        assert longest == sorted(longest) and len(set(longest)) > 1
    rows = results.metric("bits_per_byte", task="bpe", variant="windows", context=8192, mixer=["hml", "gru"])
    means = rows[rows["document"] != "all"].groupby(["mixer", "document"])["value"].mean()
    gaps = [means["gru", book] - means["hml", book] for book in BOOKS]
    mean, low, high = (f"{value:+.3f}" for value in (np.mean(gaps), min(gaps), max(gaps)))
    (line,) = [line for line in groups[0] if line[0] == "GRU"]
    assert line[4] == f"{mean} ({low} to {high})"
    (own,) = [line for line in groups[0] if line[0] == "HML"]
    assert own[4].strip() == ""
    perplexity = results.metric("perplexity", task="bpe", variant="windows", context=8192, mixer="hml")
    assert float(own[5]) == pytest.approx(
        perplexity.loc[perplexity["document"] == "all", "value"].mean(), rel=0.01
    )


def test_a_model_that_diverged_comes_last(tmp_path):
    store = Store(tmp_path)
    store.write(book_run("hml", 0))
    run = book_run("gru", 0)
    rows = [{**r, "value": float("nan")} if r["metric"] == "bits_per_byte" else r for r in run.rows]
    store.write(type(run)(run.spec, run.provenance, rows))
    lines = lines_of(pg19_scores(loaded(store, "pg19")))
    assert [line[0] for line in lines] == ["HML", "GRU"] and lines[1][3] == "nan"


def test_costs_have_every_way_of_training_and_admit_what_is_unequal(results):
    table = pg19_costs(results)
    lines = lines_of(table)
    assert len(lines) == 12 + 2 + 3
    assert lines[0][:4] == ["HML", "byte pairs", "101,000", "16 KiB"]
    assert lines[0][-1].split()[0] == "9" and lines[-1][-1].split()[0] == "3"
    assert "State bytes are not equal" not in table.html
    frame = results.frame.copy()
    frame.loc[frame["mixer"] == "gru", "state_bytes"] = 99
    assert "State bytes are not equal" in pg19_costs(type(results)(frame, results.tuning)).html


def test_samples_are_whole_escaped_and_in_order(results):
    table = pg19_samples(results)
    rows = table.html.split("<tr>")[2:]
    assert len(rows) == 12 + 2 + 3 and rows[0].startswith("<td>HML, byte pairs, hml show ")
    for mixer, row in zip(("hml", "attention", "gru"), rows, strict=False):
        assert html.escape(f"{mixer} said: <b>“no” & went\n\non.␇") in row
    assert "<b>" not in table.html and "pre-wrap" in rows[0] and "\x07" not in table.html
    assert (
        "prompt “It was &lt;late&gt;:”" in table.html
        and "temperature 0.8, top-p 0.95, 120 tokens" in table.html
    )


def test_settings_are_those_of_the_specs():
    text = {"corpus": "novels", "vocab": 2048, "length": 256}
    model = {"layers": 4, "d_model": 128, "target_parameters": 1_300_000}
    tested = {"span": 80_000, "books": 4, "windows": [[256, 128], [4096, 2048]]}
    common = {"task": "bpe", "batch_size": 8, "train": [text], "model": model}
    specs = [{**common, "variant": "tuning", "mixer": "hml", "lr": lr, "steps": 60} for lr in (0.003, 0.001)]
    main = {**common, "variant": "windows", "lr": 0.001, "steps": 300, "long_text": tested}
    specs += [{**main, "mixer": mixer, "seed": seed} for mixer, seed in (("hml", 0), ("hml", 1), ("gru", 0))]
    lines = dict(line[:2] for line in lines_of(pg19_setup({"laptop": specs, "full": specs})))
    assert lines["training"] == "300 steps of 8 windows, 614,400 tokens"
    assert lines["learning rates tried"] == "0.001, 0.003, 60 steps each" and lines["seeds"] == "1–2"
    assert lines["test"] == "the first 80,000 bytes of 4 books"
    assert lines["contexts of the test"] == "256, 4,096" and lines["parameters, all mixers"] == "1,300,000"
