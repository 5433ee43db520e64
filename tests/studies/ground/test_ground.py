"""The rule for the backbone's start, and when it leaves the plateau."""

import math

import pandas as pd
import pytest
from made_up_results import GROUNDS, ground_run, loaded

from hmlcore.results import Store
from hmlcore.studies import protocol
from hmlcore.studies.ground.figures import last_to_leave, losses, standings, steps_to_leave
from hmlcore.studies.ground.grid import NORMS, WIDTHS
from hmlcore.studies.kit.study import PROFILES


@pytest.fixture
def results(tmp_path):
    store = Store(tmp_path)
    for seed in range(2):
        for variant, mixer in GROUNDS.items():
            for task in ("text", "recall"):
                store.write(ground_run(mixer, seed, variant, task))
    return loaded(store, "ground")


def test_a_memory_without_a_norm_counts_at_every_norm(results):
    table = losses(results)
    assert (
        table.loc[("text", "mamba"), ("0.02", "none")]
        == table.loc[("text", "mamba"), ("0.02", "head")]
        == 5.005
    )
    assert table.loc[("recall", "HML"), ("0.12", "none")] == pytest.approx(4.005)


def test_the_least_sum_of_ranks_over_tasks_wins(results):
    """Means over HML and Mamba: .02 head 5.005, .02 none 4.505, .12 head 4.755, .12 none 4.255."""
    table = standings(results)
    assert list(table.index) == [("0.12", "none"), ("0.02", "none"), ("0.12", "head"), ("0.02", "head")]
    assert list(table["ranks"]) == [2, 4, 6, 8] and table["text"].iloc[0] == pytest.approx(4.255)


def test_of_equal_pairs_the_one_in_use_stays(tmp_path):
    store = Store(tmp_path)
    for variant in ("HML | none | 0.02", "HML | head | 0.02"):
        run = ground_run("hml", 0, variant)
        run.rows[0]["value"] = 5.0
        store.write(run)
    assert standings(loaded(store, "ground")).index[0] == ("0.02", "head")


def test_the_plateau_is_left_at_the_first_loss_below_frequencies(results):
    """7 bits are 4.85 nats: left at step 9, by the later of the seeds."""
    assert 5.0 > 7 * math.log(2) > 4.6
    assert set(steps_to_leave(results)) == {9}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_memory_meets_every_start_it_can_have(profile):
    found = {tuple(s["variant"].split(" | ")) for s in protocol("ground").grid(profile)}
    gated = {memory for memory, norm, _ in found if norm != "head"}
    assert gated == {"HML", "HML (delta)", "gated DeltaNet", "gated DeltaNet, slow"}
    assert len(found) == len(gated) * len(NORMS) * len(WIDTHS) + 5 * len(WIDTHS)
    for spec in protocol("ground").grid(profile):
        memory, norm, width = spec["variant"].split(" | ")
        assert spec["model"]["embedding_std"] == float(width) and spec["optimizer"] == "muon"
        assert spec["model"]["mixer_args"].get("norm") == (norm if memory in gated else None)


def test_of_equal_pairs_that_are_both_new_the_one_that_changes_less_wins(tmp_path):
    store = Store(tmp_path)
    wide, soft = "HML | none | 0.12", "HML | soft | 0.02"
    for task, better in (("text", wide), ("recall", soft)):
        for variant in (wide, soft, "HML | head | 0.12", "HML | head | 0.02"):
            run = ground_run("hml", 0, variant, task)
            run.rows[0]["value"] = 4.0 if variant == better else 5.0 if variant in (wide, soft) else 6.0
            store.write(run)
    assert list(standings(loaded(store, "ground")).index)[:2] == [("0.02", "soft"), ("0.12", "none")]


def test_the_last_to_leave_is_asked_of_the_norm_that_is_meant():
    """A gated memory that leaves late with a norm a head says nothing about the start without one."""
    places = [("HML", "0.02", "head"), ("HML", "0.02", "soft"), ("mamba", "0.02", "head")]
    left = pd.Series([75.0, 21.0, 24.0], pd.MultiIndex.from_tuples(places, names=["memory", "width", "norm"]))
    assert last_to_leave(left, "0.02", "soft") == 24 and last_to_leave(left, "0.02", "head") == 75
