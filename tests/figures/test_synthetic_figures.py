"""Figures of the controlled tasks: what is drawn is what was measured, also where runs are missing."""

import math

import pytest
from made_up_results import (
    ABLATED,
    ALL_MIXERS,
    CONTESTANTS,
    CONTROLLED,
    DEPTHS,
    KEPT,
    RULER,
    ablation_run,
    controlled_run,
    frontier_run,
    gradient_run,
    needle_run,
    prose_run,
)

from hmlcore.errors import HmlcoreError
from hmlcore.figures.needle import needle_by_length, needle_map, ruler_table
from hmlcore.figures.style import mixer_style
from hmlcore.figures.synthetic import information_bytes, synthetic_frontier
from hmlcore.figures.synthetic_gradient import (
    contestant_style,
    contestants,
    gradient_table,
    synthetic_gradients,
    synthetic_probes,
)
from hmlcore.figures.synthetic_tasks import ablations, tasks_by_length, tasks_table
from hmlcore.results import ResultSet, Store


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def loaded(store, name):
    return store.load("laptop", f"synthetic_{name}")


def test_needle_map_shows_one_length_at_a_time_and_the_longest_first(made_up_store):
    results = loaded(made_up_store, "needle")
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
    results = loaded(made_up_store, "needle")
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
    results = loaded(made_up_store, "needle")
    html = ruler_table(results).html
    assert all(f"<th>{kind}</th>" in html for kind in RULER)
    line = html[html.index("<td>GRU</td>") : html.index("<td>LSTM</td>")]
    skill = 0.95 - 0.05 * ALL_MIXERS.index("gru")
    order = [line.index(f"<td>{skill - 0.03 * number:.3f}</td>") for number in range(len(RULER))]
    assert order == sorted(order) and "chance 0.062" in html


def test_prose_is_scored_by_whole_numbers_over_bytes(made_up_store):
    results = loaded(made_up_store, "needle_text")
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


def test_information_is_that_of_all_assignments():
    # Two of three keys, each given one of four values, no value twice: 3 · 4 · 3 ways.
    assert information_bytes(2, 8) == pytest.approx(math.log2(36) / 8)
    with pytest.raises(HmlcoreError, match="pairs must be between 1 and 3, not 4"):
        information_bytes(4, 8)


def test_frontier_shows_the_bound_of_the_pairs_chosen(made_up_store):
    fig = synthetic_frontier(loaded(made_up_store, "recall"))
    (slider,) = fig.layout.sliders
    for step, pairs in zip(slider.steps, (4, 8, 16), strict=True):
        visible = step.args[0]["visible"]
        assert len(visible) == len(fig.data)
        shown = [t for t, on in zip(fig.data, visible, strict=True) if on]
        (bound,) = [t for t in shown if t.meta == "bound"]
        assert bound.x[0] == pytest.approx(information_bytes(pairs, 130), rel=1e-4)
        assert len([t for t in shown if t.meta == "key"]) == len(ALL_MIXERS)
        assert len([t for t in shown if t.meta == "seeds"]) == len(ALL_MIXERS)
    assert [bool(v) for v in slider.steps[slider.active].args[0]["visible"]] == [
        t.visible is not False for t in fig.data
    ]


def test_tasks_have_a_panel_each_and_one_a_load(made_up_store):
    results = loaded(made_up_store, "tasks")
    fig = tasks_by_length(results)
    titles = [note.text for note in fig.layout.annotations if note.name != "stamp"]
    assert titles == [
        "overwrite, 8 keys", "overwrite, 16 keys", "parity", "S3", "addition", "adding, within .01",
        "copy of 4, by delay", "copy of 8, by delay",
    ]  # fmt: skip
    wanted = []
    for task in CONTROLLED:
        metric = {"copy": "exact", "adding": "within_one"}.get(task, "accuracy")
        wanted += list(results.metric(metric, task=task)["value"])
    drawn = [y for t in of_kind(fig, "seeds") for y in t.y]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    assert sorted(t.y[0] for t in of_kind(fig, "chance")) == pytest.approx([1 / 6, 1 / 2], abs=1e-4)
    widths = {t.name: t.line.width for t in of_kind(fig, "mean")}
    assert widths["HML"] > max(w for name, w in widths.items() if name != "HML")


def test_tasks_table_is_at_the_longest(made_up_store):
    results = loaded(made_up_store, "tasks")
    html = tasks_table(results).html
    rows = results.metric("accuracy", task="parity", mixer="gru", length=1024)
    line = html[html.index("<td>GRU</td>") : html.index("<td>LSTM</td>")]
    assert f"<td>{rows['value'].mean():.3f}</td>" in line and "parity, 1,024" in html


def test_gradients_are_geometric_means_and_lost_ones_open(made_up_store):
    results = loaded(made_up_store, "gradient")
    fig = synthetic_gradients(results)
    curves = of_kind(fig, "curve")
    assert len(curves) == 4 * len(CONTESTANTS)
    first = next(t for t in curves if t.name == "GRU")
    rows = results.metric("gradient_by_lag", stage="initial", variant="gru")
    for lag, y in zip(first.x, first.y, strict=True):
        values = rows[rows["lag"] == lag]["value"]
        assert y == pytest.approx(math.prod(values) ** (1 / 3), rel=1e-3)
    lost = next(t for t in curves if t.name == "LSTM")
    assert [s.endswith("-open") for s in lost.marker.symbol] == [False, False, True, True]
    assert not any(s.endswith("-open") for s in first.marker.symbol)


def test_variants_of_hml_share_its_color_only():
    own = [v for v in CONTESTANTS if v not in ALL_MIXERS]
    styles = [contestant_style(v) for v in ("hml", *own)]
    assert len({s.color for s in styles}) == 1
    assert len({s.dash for s in styles}) == len({s.label for s in styles}) == len(styles)
    assert contestants(reversed(CONTESTANTS))[:2] == ["hml", "oscillator undamped"]
    assert set(contestants(CONTESTANTS)) == set(CONTESTANTS)


def test_probes_have_every_seed_and_chance(made_up_store):
    results = loaded(made_up_store, "gradient")
    fig = synthetic_probes(results)
    wanted = [*results.metric("linear_probe")["value"], *results.metric("noise_accuracy")["value"]]
    drawn = [y for t in of_kind(fig, "seeds") for y in t.y]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    assert [t.y[0] for t in of_kind(fig, "chance")] == [0.125]


def test_gradient_table_says_where_a_ratio_is_a_bound(made_up_store):
    html = gradient_table(loaded(made_up_store, "gradient")).html
    assert html.count("<tr>") + html.count("<tr style") == len(CONTESTANTS) + 1
    assert html.count("≤") == 2  # LSTM, before and after
    assert "−0.5 (−2 to +1)" in html and "<td>−0.003</td>" in html


def test_ablations_are_paired_by_seed(made_up_store):
    results = loaded(made_up_store, "ablation")
    fig = ablations(results)
    rows = results.metric("accuracy")
    seeds = rows.groupby(["task", "variant", "seed"])["value"].mean()
    wanted = [v - seeds[t, "base", s] for (t, variant, s), v in seeds.items() if variant != "base"]
    drawn = [x for t in of_kind(fig, "seeds") for x in t.x]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    assert list(fig.layout.yaxis.ticktext)[-1] == "A1  undamped" and len(fig.layout.yaxis.ticktext) == 6
    assert len(ABLATED) == 7


def test_hover_texts_name_the_runs_behind_them(made_up_store):
    results = loaded(made_up_store, "ablation")
    runs = results.metric("accuracy").groupby("variant")["spec_hash"].unique()
    own = {f"hml show {run[:8]}" for variant, names in runs.items() if variant != "base" for run in names}
    base = {f"base: hml show {run[:8]}" for run in runs["base"]}
    lines = {
        line for t in of_kind(ablations(results), "seeds") for text in t.text for line in text.split("<br>")
    }
    assert own and own <= lines and {line for line in lines if line.startswith("base")} == base
    needle = loaded(made_up_store, "needle")
    asked = {f"hml show {run[:8]}" for run in needle.metric("accuracy")["spec_hash"]}
    dots = {text.split("<br>")[-1] for t in of_kind(needle_by_length(needle), "seeds") for text in t.text}
    cells = {line.split(", ")[-1] for t in of_kind(needle_map(needle), "map") for row in t.hovertext
             for text in row for line in text.split("<br>") if line.startswith("seed")}  # fmt: skip
    assert dots and dots <= asked and cells <= asked and cells


@pytest.mark.parametrize(
    ("run", "functions"),
    [
        (needle_run("gru", 4), (needle_map, needle_by_length, ruler_table)),
        (prose_run("gru", 4), (needle_map, needle_by_length, ruler_table)),
        (frontier_run("gru", 4), (synthetic_frontier,)),
        (controlled_run("gru", 4, "copy"), (tasks_by_length, tasks_table)),
        (gradient_run("hml", 4, "leapfrog damped"), (synthetic_gradients, synthetic_probes, gradient_table)),
        (ablation_run("hml", 4, "base"), (ablations,)),
    ],
)
def test_one_run_is_enough(tmp_path, run, functions):
    store = Store(tmp_path)
    store.write(run)
    results = store.load("laptop", run.spec["experiment"])
    for function in functions:
        assert function(results) is not None


def test_ablations_without_a_base_are_refused(tmp_path):
    store = Store(tmp_path)
    store.write(ablation_run("hml", 0, "Euler"))
    with pytest.raises(HmlcoreError, match="no results of the variant 'base'"):
        ablations(store.load("laptop", "synthetic_ablation"))


def test_a_slope_through_the_floor_is_not_shown(made_up_store):
    """Where the norm at the shortest lag is lost there is no ratio, and the fit is of the floor alone."""
    frame = made_up_store.load("laptop", "synthetic_gradient").frame
    gone = (frame["variant"] == "lstm") & (frame["metric"] == "early_late") & (frame["stage"] == "initial")
    frame.loc[gone, "value"] = float("nan")
    (row,) = (line for line in gradient_table(ResultSet(frame)).html.split("<tr>") if "<td>LSTM" in line)
    cells = [cell.split("</td>")[0] for cell in row.split("<td>")[1:]]
    assert cells[1] == cells[2] == "" and cells[3] and cells[4]
