"""Figures of the physics: what is drawn is what was measured, in words a reader can use."""

import math

import pandas as pd
import pytest
from made_up_results import FAMILY, loaded, orbit_rows, physics_run

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import DYNAMICS, dynamics_in_order
from hmlcore.results import Store
from hmlcore.studies.physics.curves import energy_by_token, gradient_by_lag, reversal_error
from hmlcore.studies.physics.orbits import phase_portraits
from hmlcore.studies.physics.stability import CONSTANT, LIMIT, SAFE, lyapunov_map

MATRIX = FAMILY[:4]


@pytest.fixture
def results(tmp_path):
    store = Store(tmp_path)
    for dynamics in FAMILY:
        store.write(physics_run("hml", 0, dynamics))
    return loaded(store, "physics")


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def test_a_map_a_dynamics_and_a_button_for_each(results):
    fig = lyapunov_map(results)
    maps = of_kind(fig, "map")
    (menu,) = fig.layout.updatemenus
    assert [b.label for b in menu.buttons] == [DYNAMICS[d].label for d in MATRIX] and len(maps) == 4
    assert [t.visible for t in maps] == [True, False, False, False]
    for button, shown in zip(menu.buttons, maps, strict=True):
        visible = button.args[0]["visible"]
        assert len(visible) == len(fig.data)
        assert [t for t, on in zip(fig.data, visible, strict=True) if on and t.meta == "map"] == [shown]
        layout = button.args[1]
        assert layout["xaxis.title.text"].startswith(f"{button.label} · ")
        # Every view states both axes in full: nothing of another view is left.
        assert set(layout) == set(menu.buttons[0].args[1])
    assert menu.buttons[3].args[1]["xaxis.type"] == "linear"
    # Zero is the middle of the scale of colors.
    axis = fig.layout.coloraxis
    assert axis.cmin == -axis.cmax < 0 and 0 in axis.colorbar.tickvals


def test_colors_and_hover_are_the_exponents(results):
    leapfrog = of_kind(lyapunov_map(results), "map")[0]
    rows = results.metric("lyapunov", dynamics="leapfrog")
    assert list(leapfrog.x) == [0.01, 0.2, 1.0, 4.0] and list(leapfrog.y) == [0.0, 0.5, 1.0]
    signs = {(r.gamma, r.eta): math.copysign(1, r.value) for r in rows.itertuples()}
    for gamma, line, texts in zip(leapfrog.y, leapfrog.z, leapfrog.text, strict=True):
        for eta, z, text in zip(leapfrog.x, line, texts, strict=True):
            assert math.copysign(1, z) == signs[gamma, eta]
            assert ("doubles every" if z > 0 else "halves every") in text and " ± 0.0010" in text
    # z grows with the exponent, whatever its scale.
    flat = sorted((r.value, leapfrog.z[[0.0, 0.5, 1.0].index(r.gamma)][[0.01, 0.2, 1.0, 4.0].index(r.eta)])
                  for r in rows.itertuples())  # fmt: skip
    assert [z for _, z in flat] == sorted(z for _, z in flat)
    value = float(rows[(rows["eta"] == 4) & (rows["gamma"] == 0.5)]["value"].iloc[0])
    assert f"{value:+.4f}" in leapfrog.text[1][3] and f"every {math.log(2) / value:.3g}" in leapfrog.text[1][3]
    turning = of_kind(lyapunov_map(results), "map")[3]
    assert all("neither grows nor fades" in text for text in turning.text[2])
    assert "ρ = %{y:.3g}" in turning.hovertemplate and "γ = %{y:.3g}" in leapfrog.hovertemplate


def test_the_lines_and_the_rings_are_where_they_should_be(results):
    fig = lyapunov_map(results)
    names = {t.text[0].strip(): t for t in of_kind(fig, "name") if t.visible}
    assert set(names) == {SAFE, LIMIT, CONSTANT}
    lines = [t for t in of_kind(fig, "line") if t.visible]
    assert [t.line.color for t in lines] == ["black", "white"] * 3
    for line, (factor, sign) in zip(lines[1::2], ((1.5, -1), (2, -1), (2, 1)), strict=True):
        assert list(line.x) == pytest.approx([factor * (1 + sign * gamma) for gamma in line.y], rel=1e-4)
        assert min(line.x) >= 0.01 and max(line.x) <= 4
    rings = [t for t in of_kind(fig, "boundary") if t.visible]
    # At the width of the map only: (1.5 + 8/16)(1 − γ).
    assert [(list(t.x), list(t.y)) for t in rings] == [([2.0, 1.0], [0.0, 0.5])]
    assert "at η = 1 ± 0.01, γ = 0.5:<br>2.00 (1 − γ)" in rings[0].text[1]


def test_a_store_of_one_dynamics_needs_no_buttons(tmp_path):
    store = Store(tmp_path)
    store.write(physics_run("hml", 0, "delta"))
    fig = lyapunov_map(loaded(store, "physics"))
    assert not fig.layout.updatemenus and len(fig.data) == 1 and fig.data[0].visible


@pytest.mark.parametrize(
    ("function", "metric", "place"),
    [(reversal_error, "reversal_error", "tokens"), (gradient_by_lag, "gradient_by_lag", "lag")],
)
def test_every_case_is_a_line_through_what_was_measured(results, function, metric, place):
    fig = function(results)
    lines = {t.name: t for t in of_kind(fig, "case")}
    assert list(lines) == [
        "Leapfrog γ = 1", "Leapfrog γ = 0.5", "Symplectic Euler γ = 1", "Symplectic Euler γ = 0.5",
        "Delta rule", "Oscillator ρ = 1", "Oscillator ρ = 0.9",
    ]  # fmt: skip
    for name, gates in (
        ("Leapfrog γ = 0.5", {"dynamics": "leapfrog", "gamma": 0.5}),
        ("Delta rule", {"dynamics": "delta"}),
        ("Oscillator ρ = 1", {"dynamics": "oscillator", "rho": 1.0}),
    ):
        rows = results.metric(metric, **gates).sort_values(place)
        assert list(lines[name].x) == list(rows[place])
        assert list(lines[name].y) == pytest.approx(list(rows["value"]), rel=1e-4)
        assert all(f"{at:,}" in text for at, text in zip(rows[place], lines[name].text, strict=True))
    # Less friction is a fuller line, and one dynamics has one color.
    assert [lines[n].line.dash for n in ("Leapfrog γ = 1", "Leapfrog γ = 0.5")] == ["solid", "dash"]
    assert lines["Leapfrog γ = 1"].line.color == lines["Leapfrog γ = 0.5"].line.color
    assert fig.layout.xaxis.type == fig.layout.yaxis.type == "log"


def test_a_loss_is_named(results):
    texts = {t.name: t.text for t in of_kind(reversal_error(results), "case")}
    assert "nothing is left" in texts["Leapfrog γ = 0.5"][-1]
    assert not any("nothing is left" in text for text in texts["Oscillator ρ = 1"])
    assert "error 1.00e-07" in texts["Oscillator ρ = 1"][0]


def test_energy_has_a_panel_for_constant_and_one_for_changing_keys(results):
    fig = energy_by_token(results)
    titles = [note.text for note in fig.layout.annotations]
    assert titles[:2] == ["one constant key", "another key every token"]
    lines = of_kind(fig, "case")
    assert len(lines) == 14 and sum(bool(t.showlegend) for t in lines) == 7
    # Zero has no logarithm: only below.
    assert fig.layout.yaxis.type != "log" and fig.layout.yaxis2.type == "log"
    rows = results.metric("energy", dynamics="leapfrog", gamma=0.5, keys="constant")
    drawn = next(t for t in lines if t.name == "Leapfrog γ = 0.5")
    assert list(drawn.y) == pytest.approx(list(rows.sort_values("t")["value"]), rel=1e-4)


def test_seeds_are_averaged(tmp_path):
    store = Store(tmp_path)
    for seed in range(2):
        store.write(physics_run("hml", seed, "leapfrog"))
    results = loaded(store, "physics")
    assert len(of_kind(reversal_error(results), "case")) == 2
    rows = results.metric("lyapunov", eta=0.2, gamma=0.5)
    assert len(rows) == 2
    (drawn,) = of_kind(lyapunov_map(results), "map")
    assert f"{rows['value'].mean():+.4f}".replace("-", "−") in drawn.text[1][1]


@pytest.fixture
def trace():
    return pd.DataFrame([{**row, "dynamics": d} for d in FAMILY for row in orbit_rows(d)]).assign(
        profile="laptop", device="cpu", seed=0, mixer="hml", dirty=False
    )


def test_every_dynamics_has_its_orbit_and_energy(trace):
    fig = phase_portraits(trace)
    orbits = of_kind(fig, "orbit")
    assert [t.name for t in orbits] == [DYNAMICS[d].label for d in FAMILY]
    for dynamics, orbit in zip(FAMILY, orbits, strict=True):
        rows = trace[(trace["dynamics"] == dynamics) & (trace["token"] == 0)]
        assert list(orbit.x) == pytest.approx(list(rows["q"]), abs=1e-3)
        assert list(orbit.y) == pytest.approx(list(rows["p"]), abs=1e-3)
        assert list(orbit.text) == [str(t) for t in rows["t"]]
    # What has no momentum has no kinetic energy; what has no rest has no cross.
    assert len(of_kind(fig, "home")) == 4
    assert len([t for t in of_kind(fig, "energy") if t.name == "kinetic energy"]) == 6
    assert len([t for t in of_kind(fig, "energy") if t.name == "potential energy"]) == 8
    seconds = [fig.layout[f"yaxis{n}"].title.text for n in ("", "2", "3", "4")]
    assert seconds == ["p", "p", "Δq", "Im"]
    assert max(max(t.y) for t in of_kind(fig, "energy")) <= 1.0


def test_fewer_or_unknown_dynamics_are_drawn_too(trace):
    fig = phase_portraits(trace[trace["dynamics"] == "delta"])
    assert len(of_kind(fig, "orbit")) == 1
    named = phase_portraits(trace.replace({"dynamics": {"sep": "my_own"}}))
    assert of_kind(named, "orbit")[-1].name == "my_own"
    assert dynamics_in_order(["my_own", "delta", "leapfrog"]) == ["leapfrog", "delta", "my_own"]


def test_bad_traces_are_refused(trace):
    with pytest.raises(HmlcoreError, match=r"trace lacks the columns \['q', 'rest'\]"):
        phase_portraits(trace.drop(columns=["q", "rest"]))
    with pytest.raises(HmlcoreError, match="trace holds several runs of 'leapfrog': choose one"):
        phase_portraits(pd.concat([trace, trace]))
