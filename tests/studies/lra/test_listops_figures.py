"""ListOps figures and table: directions apart, best first, the floor, what is not equal."""

import pytest
from made_up_results import ALL_MIXERS, DIRECTIONS, LENGTHS, listops_run, loaded

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import mixer_style
from hmlcore.results import Run, Store
from hmlcore.results.tuning import tuned
from hmlcore.studies.lra.listops import (
    listops_by_length,
    listops_learning,
    listops_ranking,
    listops_table,
    trained_lengths,
)


@pytest.fixture(scope="module")
def results(made_up_store):
    return loaded(made_up_store, "lra_listops")


def titles(fig):
    return [note.text for note in fig.layout.annotations if note.name != "stamp"]


def means(results, direction, lengths):
    rows = tuned(results).metric("accuracy", direction=direction, length=lengths)
    return rows.groupby("mixer")["value"].mean()


def test_directions_have_panels_of_their_own(results):
    fig = listops_by_length(results)
    assert titles(fig) == list(DIRECTIONS)
    rows = tuned(results).metric("accuracy")
    for axis, direction in (("x", "causal"), ("x2", "bidirectional")):
        drawn = sorted(y for t in fig.data if t.meta == "seeds" and t.xaxis == axis for y in t.y)
        assert drawn == pytest.approx(sorted(rows[rows["direction"] == direction]["value"]), abs=1e-4)


def test_one_direction_has_one_panel(results):
    assert titles(listops_by_length(results.where(direction="bidirectional"))) == ["bidirectional"]


def test_longest_length_of_training_and_floor_are_marked(results):
    assert trained_lengths(results) == [32, 64, 128]
    fig = listops_by_length(results)
    assert {t.x for t in fig.data if t.meta == "limit"} == {(128, 128)}
    floors = [t for t in fig.data if t.meta == "floor"]
    assert len(floors) == 2 and sum(t.showlegend for t in floors) == 1
    assert all(t.x == LENGTHS and t.y == pytest.approx((0.19, 0.18, 0.17, 0.16, 0.15)) for t in floors)
    assert "Wilson 95 %" in next(t for t in fig.data if t.meta == "seeds").text[0]


def test_legend_lists_every_mixer_once_and_toggles_both_panels(results):
    fig = listops_by_length(results)
    listed = [t.name for t in fig.data if t.showlegend]
    assert sorted(listed) == sorted([*(mixer_style(m).label for m in ALL_MIXERS), "most frequent answer"])
    for mixer in ALL_MIXERS:
        name = mixer_style(mixer).label
        assert {t.xaxis for t in fig.data if t.legendgroup == name and t.meta == "mean"} == {"x", "x2"}
    widths = {t.name: t.line.width for t in fig.data if t.meta == "mean"}
    assert widths.pop("HML") > 2 * max(widths.values())


def test_ranking_has_the_best_causal_mixer_on_top(results):
    fig = listops_ranking(results)
    causal = means(results, "causal", [32, 64, 128])
    best = [mixer_style(m).label for m in causal.sort_values().index]
    assert list(fig.layout.yaxis.ticktext) == best and fig.layout.yaxis.ticktext[-1] == "HML"
    assert titles(fig) == ["trained on: 32, 64, 128", "not trained on: 256, 512"]


@pytest.mark.parametrize(("axis", "lengths"), [("x", [32, 64, 128]), ("x2", [256, 512])])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_ranking_shows_every_seed_and_their_means(results, axis, lengths, direction):
    fig = listops_ranking(results)
    seeds, mean = (
        next(t for t in fig.data if t.meta == meta and (t.xaxis, t.legendgroup) == (axis, direction))
        for meta in ("seeds", "mean")
    )
    assert len(seeds.x) == 3 * len(ALL_MIXERS)
    assert ("open" in seeds.marker.symbol) == (direction == "bidirectional")
    expected = means(results, direction, lengths)
    labels = dict(zip(fig.layout.yaxis.ticktext, fig.layout.yaxis.tickvals, strict=True))
    at = {round(y): x for x, y in zip(mean.x, mean.y, strict=True)}
    for mixer, value in expected.items():
        assert at[labels[mixer_style(mixer).label]] == pytest.approx(value, abs=1e-4)
    assert "n = 3,000 in all" in seeds.text[0] or "n = 2,000 in all" in seeds.text[0]


def test_ranking_has_intervals_at_five_seeds_only(tmp_path):
    for seeds, expected in ((4, False), (5, True)):
        store = Store(tmp_path / str(seeds))
        for seed in range(seeds):
            store.write(listops_run("gru", seed))
        fig = listops_ranking(loaded(store, "lra_listops"))
        bars = [t.error_x.array is not None for t in fig.data if t.meta == "mean"]
        assert bars == [expected] * 2
        assert "circle-open" not in {t.marker.symbol for t in fig.data}  # none is bidirectional


def test_learning_curves_are_causal(results):
    fig = listops_learning(results)
    assert len(fig.data) == 3 * len(ALL_MIXERS)
    looks = {(t.line.color, t.line.dash) for t in fig.data}
    assert len(looks) == len(ALL_MIXERS)  # mixers that share a color differ in their dashes


def test_table_is_sorted_and_admits_what_is_unequal(results):
    table = listops_table(results)
    rows = [line.split(" & ") for line in table.latex.splitlines() if " & " in line]
    assert rows[0][:5] == ["mixer", "direction", "mean of 32, 64, 128", "32", "64"]
    assert "512 (not trained on)" in rows[0][-1]
    for number, direction in enumerate(DIRECTIONS):
        block = rows[1 + number * len(ALL_MIXERS) :][: len(ALL_MIXERS)]
        expected = means(results, direction, [32, 64, 128]).sort_values(ascending=False)
        assert {row[1] for row in block} == {direction}
        assert [row[0] for row in block] == [mixer_style(m).label for m in expected.index]
        assert [row[2] for row in block] == [f"{value:.3f}" for value in expected]
    assert rows[-1][:3] == ["most frequent answer", "", "0.180"]
    assert "laptop profile · CPU · 3 seeds · n = 1,000" in table.html
    assert "Learning rates tried: 2 causal, 1 bidirectional" in table.html


def test_results_without_directions_are_refused(tmp_path):
    run = listops_run("hml", 0)
    store = Store(tmp_path)
    rows = [{k: v for k, v in row.items() if k != "direction"} for row in run.rows]
    store.write(Run(run.spec, run.provenance, rows))
    with pytest.raises(HmlcoreError, match="lack the column 'direction'"):
        listops_by_length(loaded(store, "lra_listops"))
