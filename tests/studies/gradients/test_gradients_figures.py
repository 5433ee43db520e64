"""Figures of the gradients: means, what is lost, and variants that are HML's."""

import math

import pytest
from made_up_results import ALL_MIXERS, CONTESTANTS, gradient_run, loaded

from hmlcore.results import ResultSet, Store
from hmlcore.studies.gradients.figures import (
    contestant_style,
    contestants,
    gradient_table,
    synthetic_gradients,
    synthetic_probes,
)


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def test_gradients_are_geometric_means_and_lost_ones_open(made_up_store):
    results = loaded(made_up_store, "synthetic_gradient")
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
    results = loaded(made_up_store, "synthetic_gradient")
    fig = synthetic_probes(results)
    wanted = [*results.metric("linear_probe")["value"], *results.metric("noise_accuracy")["value"]]
    drawn = [y for t in of_kind(fig, "seeds") for y in t.y]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    assert [t.y[0] for t in of_kind(fig, "chance")] == [0.125]


def test_gradient_table_says_where_a_ratio_is_a_bound(made_up_store):
    html = gradient_table(loaded(made_up_store, "synthetic_gradient")).html
    assert html.count("<tr>") + html.count("<tr style") == len(CONTESTANTS) + 1
    assert html.count("≤") == 2  # LSTM, before and after
    assert "−0.5 (−2 to +1)" in html and "<td>−0.003</td>" in html


def test_a_slope_through_the_floor_is_not_shown(made_up_store):
    """Where the norm at the shortest lag is lost there is no ratio, and the fit is of the floor alone."""
    frame = loaded(made_up_store, "synthetic_gradient").frame
    gone = (frame["variant"] == "lstm") & (frame["metric"] == "early_late") & (frame["stage"] == "initial")
    frame.loc[gone, "value"] = float("nan")
    (row,) = (line for line in gradient_table(ResultSet(frame)).html.split("<tr>") if "<td>LSTM" in line)
    cells = [cell.split("</td>")[0] for cell in row.split("<td>")[1:]]
    assert cells[1] == cells[2] == "" and cells[3] and cells[4]


@pytest.mark.parametrize("run", [gradient_run("hml", 4, "leapfrog damped")])
def test_one_run_is_enough(tmp_path, run):
    store = Store(tmp_path)
    store.write(run)
    results = loaded(store, run.spec["experiment"])
    for function in (synthetic_gradients, synthetic_probes, gradient_table):
        assert function(results) is not None
