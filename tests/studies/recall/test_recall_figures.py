"""Figures of recall: the frontier, its slider and its hover texts."""

import pytest
from made_up_results import PAIRS, loaded, recall_run

from hmlcore.results import Store
from hmlcore.results.tuning import tuned
from hmlcore.studies.recall.frontier import recall_curves, recall_frontier


def test_hover_gives_seed_interval_rate_and_width(made_up_store):
    fig = recall_frontier(loaded(made_up_store, "recall"))
    text = next(t for t in fig.data if t.name == "HML" and t.meta == "seeds").text[0]
    assert "<b>HML</b> seed 0" in text and "Wilson 95 %:" in text and "n = 2,048" in text
    assert "lr 0.003, width 16, state 1 KiB" in text
    mean = next(t for t in fig.data if t.name == "HML" and t.meta == "mean").text[0]
    assert "mean of 3" in mean and "no interval below 5 seeds" in mean


def test_frontier_slider_shows_one_number_of_pairs_at_a_time(made_up_store):
    results = loaded(made_up_store, "recall")
    fig = recall_frontier(results)
    (slider,) = fig.layout.sliders
    assert [step.label for step in slider.steps] == [str(n) for n in PAIRS]
    assert slider.active == 2  # the middle, whatever the results
    assert [t.visible for t in fig.data] == list(slider.steps[2].args[0]["visible"])
    for step, pairs in zip(slider.steps, PAIRS, strict=True):
        shown = [t for t, on in zip(fig.data, step.args[0]["visible"], strict=True) if on]
        rows = tuned(results).metric("accuracy", pairs=pairs)
        values = sorted(round(y, 4) for t in shown if t.meta == "seeds" for y in t.y)
        assert values == pytest.approx(sorted(rows["value"]), abs=1e-4)
    assert (
        slider.steps[-1].args[1]["yaxis.title.text"]
        == "accuracy, 64 pairs in 256 tokens (more than trained on)"
    )


def test_legend_lists_each_mixer_once_also_where_the_first_panel_lacks_it(tmp_path):
    store = Store(tmp_path)
    store.write(recall_run("hml", 0, d_model=32))
    store.write(recall_run("hml", 0, d_model=64))
    store.write(recall_run("gru", 0, d_model=64))
    fig = recall_curves(loaded(store, "recall"))
    assert sorted(t.name for t in fig.data if t.name and t.showlegend) == ["GRU", "HML"]
