"""The physics of the memory, measured small: complete, repeatable, verifiable, with all portraits."""

import math

import pytest
import torch

from hmlcore import cli
from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.token_map import KNOBS
from hmlcore.layers.hml import FAMILY
from hmlcore.results import Store, spec_hash
from hmlcore.results.spec import check_spec
from hmlcore.runner import run_grid
from hmlcore.runner.select import label
from hmlcore.runner.verify import verify
from hmlcore.studies import get_experiment
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.physics import grid as experiment

pytestmark = pytest.mark.usefixtures("own_folders")
CPU = torch.device("cpu")
TINY = dict(
    head_dim=4, points=[4, 3], tokens=16, sequences=2, head_dims=[2, 4], frictions=[0.0, 0.5],
    boundary_tokens=40, reversal=[2, 5], energy_tokens=8, lags=[1, 4], portrait_tokens=12,
)  # fmt: skip


@pytest.fixture
def store(own_folders):
    return Store(own_folders / "results")


@pytest.fixture
def tiny(monkeypatch):
    """The smoke profile, smaller still."""
    monkeypatch.setitem(experiment._SETTINGS, "smoke", TINY)


@pytest.fixture
def results(tiny, store):
    run_grid(experiment.grid("smoke"), store)
    return store.load("smoke", "physics")


@pytest.mark.parametrize("profile", PROFILES)
def test_grids_are_storable_and_hold_the_whole_family(profile):
    grid = experiment.grid(profile)
    assert [spec["dynamics"] for spec in grid] == list(FAMILY)
    for spec in grid:
        check_spec(spec)
        assert ("lags" in spec) == (spec["dynamics"] in KNOBS)
    assert len({label(spec) for spec in grid}) == len({spec_hash(spec) for spec in grid}) == len(FAMILY)
    settings = experiment._SETTINGS[profile]
    if profile != "smoke":
        assert settings["reversal"][-1] == 100_000 and settings["lags"][-1] == 4092
    # Constant gates at which the claims are made have to be on the map.
    for name in KNOBS:
        first, second = experiment.axes(name, settings["points"]).values()
        assert len(first) == settings["points"][0] and first == sorted(first)
        assert (first[-1], second[-1]) == pytest.approx((math.pi if name == "oscillator" else 4.0, 1.0))
        assert second[-1] == 1.0


def test_every_matrix_memory_has_every_row(results):
    a, b = TINY["points"]
    assert results.mixers == ["hml"] and (results.runs()["steps"] == 0).all()
    for name in KNOBS:
        rows = results.metric("lyapunov", dynamics=name)
        axes = list(experiment.axes(name, TINY["points"]))
        assert len(rows) == a * b and not rows[axes].duplicated().any()
        assert (rows["stderr"] >= 0).all() and (rows["n"] == 2).all() and (rows["head_dim"] == 4).all()
        assert (rows["value"] <= rows["upper"] + 4 * rows["stderr"] + 0.5).all()
        cases = len(experiment.CASES[name])
        assert len(results.metric("gradient_by_lag", dynamics=name)) == 2 * cases
        assert len(results.metric("reversal_error", dynamics=name)) == 2 * cases
        energy = results.metric("energy", dynamics=name)
        assert len(energy) == 2 * 9 * cases and (energy[energy["t"] == 0]["value"] == 1).all()
        shadow = name in ("leapfrog", "euler")
        drift = results.metric("energy_drift", dynamics=name)
        assert len(drift) == 2 * cases + shadow
        assert (drift[drift["energy"] == "shadow"]["value"] < 1e-12).all()
    assert len(results.metric("boundary", dynamics="leapfrog")) == 4
    assert set(results.metric("boundary")["dynamics"]) == {"leapfrog", "euler"}
    assert (results.metric("lyapunov", dynamics="oscillator", rho=1.0)["value"].abs() < 1e-14).all()


def test_every_dynamics_has_its_portrait(results, store):
    assert set(results.metric("recall_error")["dynamics"]) == set(FAMILY)
    trace = store.trace("smoke", "physics", seed=0)
    for name in FAMILY:
        part = trace[trace["dynamics"] == name].sort_values("t")
        assert list(part["t"]) == list(range(12)) and list(part["token"]) == [0, 1, 2, 3] * 3
        assert (part["kinetic"] + part["potential"]).iloc[-1] > 0
        assert float(part["q"].abs().max()) > 1e-3
    # One input for all: the delta rule's first write and the leapfrog's kick see one value.
    assert trace[trace["t"] == 0].groupby("dynamics")["q"].size().eq(1).all()


def test_the_same_spec_gives_the_same_rows(tiny):
    spec = experiment.grid("smoke")[0]
    one, same = (experiment.measure_all([spec], CPU)[0] for _ in range(2))
    assert one.rows == same.rows and one.trace == same.trace
    other = experiment.measure_all([spec | {"seed": 1}], CPU)[0]
    assert one.rows != other.rows and one.trace != other.trace


def test_it_can_be_verified(results, store, capsys):
    assert get_experiment("physics").repeatable and not get_experiment("speed").repeatable
    verdicts = verify(store, "smoke", ["physics"], sample=len(FAMILY))
    assert all(v.passed and v.identical == v.values for v in verdicts)
    assert max(v.values for v in verdicts) > 50
    assert cli.main(["verify", "physics", "--profile", "smoke", "--sample", "1"]) == 0
    assert "ok     physics hml d=16" in capsys.readouterr().out


def test_a_tampered_exponent_is_found(tiny, store):
    spec = next(s for s in experiment.grid("smoke") if s["dynamics"] == "delta")
    (run,) = experiment.measure_all([spec], CPU)
    run.rows[3]["value"] += 0.1
    store.write(run)
    (verdict,) = verify(store, "smoke", ["physics"], sample=1)
    assert not verdict.passed and verdict.identical == verdict.values - 1


def test_a_map_of_unknown_dynamics_is_refused():
    with pytest.raises(HmlcoreError, match="unknown dynamics 'quad'; known: delta, euler"):
        experiment.token_map("quad")
