"""Figures of the needle: what is drawn is what was measured."""

import pytest
from made_up_results import ALL_MIXERS, DEPTHS, KEPT, RULER, loaded, needle_run, prose_run

from hmlcore.figures.style import mixer_style
from hmlcore.results import Store
from hmlcore.studies.needle.figures import needle_by_length, needle_map, ruler_table


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def test_needle_map_shows_one_length_at_a_time_and_the_longest_first(made_up_store):
    results = loaded(made_up_store, "synthetic_needle")
    fig = needle_map(results)
    (slider,) = fig.layout.sliders
    assert [t.visible for t in fig.data] == [False, False, True] and slider.active == 2
    for number, (step, length) in enumerate(zip(slider.steps, KEPT, strict=True)):
        assert step.label == f"{length:,}"
        assert list(step.args[0]["visible"]) == [i == number for i in range(3)]
        trace = fig.data[number]
        assert trace.y[-1] == "HML" and len(trace.y) == len(ALL_MIXERS)
        for mixer in ALL_MIXERS:
            for column, depth in enumerate(DEPTHS):
                rows = results.metric("accuracy", length=length, depth=depth, mixer=mixer)
                at = list(trace.y).index(mixer_style(mixer).label)
                assert trace.z[at][column] == pytest.approx(rows["value"].mean(), abs=1e-4)
                hover = trace.hovertext[at][column]
                assert "n = 384" in hover and "Wilson 95 %:" in hover and hover.count("seed ") == 3
    assert "64 times the longest trained" in slider.steps[2].args[1]["xaxis.title.text"]
    assert "trained" not in slider.steps[0].args[1]["xaxis.title.text"]


def test_needle_by_length_has_every_seeds_mean_over_depths_and_chance(made_up_store):
    results = loaded(made_up_store, "synthetic_needle")
    fig = needle_by_length(results)
    rows = results.metric("accuracy")
    wanted = rows[rows["depth"].notna()].groupby(["mixer", "seed", "length"])["value"].mean()
    drawn = [y for t in of_kind(fig, "seeds") for y in t.y]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4) and len(drawn) == 11 * 3 * 3
    (chance,) = of_kind(fig, "chance")
    assert list(chance.y) == [0.0625, 0.0625]
    assert list(of_kind(fig, "limit")[0].x) == [64, 64]
    assert sum(bool(t.showlegend) for t in fig.data) == len(ALL_MIXERS)


def test_ruler_table_has_every_setting_under_its_name(made_up_store):
    results = loaded(made_up_store, "synthetic_needle")
    html = ruler_table(results).html
    assert all(f"<th>{kind}</th>" in html for kind in RULER)
    line = html[html.index("<td>GRU</td>") : html.index("<td>LSTM</td>")]
    skill = 0.95 - 0.05 * ALL_MIXERS.index("gru")
    order = [line.index(f"<td>{skill - 0.03 * number:.3f}</td>") for number in range(len(RULER))]
    assert order == sorted(order) and "chance 0.062" in html


def test_prose_is_scored_by_whole_numbers_over_bytes(made_up_store):
    results = loaded(made_up_store, "synthetic_needle_text")
    fig, over_length = needle_map(results), needle_by_length(results)
    assert fig.layout.xaxis.title.text == "depth of the needle in 4,096 bytes (64 times the longest trained)"
    rows = results.metric("exact", length=64, depth=0.5, mixer="mamba")
    trace = fig.data[0]
    at = list(trace.y).index(mixer_style("mamba").label)
    assert trace.z[at][1] == pytest.approx(rows["value"].mean(), abs=1e-4)
    assert "whole answers" in trace.hovertext[at][1] and "of 64 bytes" in trace.hovertext[at][1]
    rows = results.metric("exact")
    wanted = rows[rows["depth"].notna()].groupby(["mixer", "seed", "length"])["value"].mean()
    drawn = [y for t in of_kind(over_length, "seeds") for y in t.y]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    (chance,) = of_kind(over_length, "chance")
    assert list(chance.y) == pytest.approx([1 / 90] * 2, abs=1e-4)  # 10 to 99
    assert over_length.layout.yaxis.title.text == "whole answers, mean over depths"
    html = ruler_table(results).html
    assert all(f"<th>{kind}</th>" in html for kind in RULER) and "chance 0.0111" in html
    gru = html[html.index("<td>GRU</td>") : html.index("<td>LSTM</td>")]
    assert f"<td>{0.95 - 0.05 * ALL_MIXERS.index('gru'):.3f}</td>" in gru


def test_hover_texts_name_the_runs_behind_them(made_up_store):
    needle = loaded(made_up_store, "synthetic_needle")
    asked = {f"hml show {run[:8]}" for run in needle.metric("accuracy")["spec_hash"]}
    dots = {text.split("<br>")[-1] for t in of_kind(needle_by_length(needle), "seeds") for text in t.text}
    cells = {line.split(", ")[-1] for t in of_kind(needle_map(needle), "map") for row in t.hovertext
             for text in row for line in text.split("<br>") if line.startswith("seed")}  # fmt: skip
    assert dots and dots <= asked and cells <= asked and cells


@pytest.mark.parametrize("run", [needle_run("gru", 4), prose_run("gru", 4)])
def test_one_run_is_enough(tmp_path, run):
    store = Store(tmp_path)
    store.write(run)
    results = loaded(store, run.spec["experiment"])
    for function in (needle_map, needle_by_length, ruler_table):
        assert function(results) is not None
