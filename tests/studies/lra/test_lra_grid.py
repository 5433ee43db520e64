"""Long Range Arena: what its grids ask for, and a smoke run on a machine that has no reviews."""

from collections import Counter

import pytest
import torch

from hmlcore import paths
from hmlcore.figures.style import DIRECTIONS
from hmlcore.models import Backbone
from hmlcore.results import Store
from hmlcore.runner import run_grid
from hmlcore.runner.model import build_model, model_config
from hmlcore.studies import get_experiment
from hmlcore.studies.kit.comparison import task_from
from hmlcore.studies.kit.study import ALL_MIXERS, PROFILES
from hmlcore.studies.lra import grid
from hmlcore.studies.lra.grid import listops_grid, text_grid


@pytest.mark.usefixtures("own_folders")
def test_smoke_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wanted = {("gru", "causal"), ("lstm", "bidirectional")}
    specs = [s for s in text_grid("smoke") if (s["mixer"], s["direction"]) in wanted and s["seed"] == 0]
    store = Store(tmp_path)
    assert run_grid(specs, store).report() == "2 made, 0 already stored"
    rows = store.load("smoke", "lra_text").metric("accuracy")
    assert set(zip(rows["mixer"], rows["direction"], rows["length"], strict=True)) == {
        (*which, length) for which in wanted for length in (16, 32, 64)
    }
    assert set(rows["data_version"]) == {"made-up-reviews-1"}


def test_laptop_tries_two_causal_rates_with_the_first_seed_and_goes_on_at_the_better(monkeypatch):
    chosen = {"gru": 3e-3, "hml": 3e-3} | {m: 1e-2 for m in ALL_MIXERS if m not in ("gru", "hml")}
    monkeypatch.setattr(grid, "read_rates", lambda _: {"laptop": {"lra_text": {"causal": chosen}}})
    runs = Counter(
        (s["direction"], s["seed"], s["lr"], s["mixer"] in ("gru", "hml")) for s in text_grid("laptop")
    )
    few, others = 2, len(ALL_MIXERS) - 2
    both = {
        ("causal", 0, rate, small): few if small else others for rate in (3e-3, 1e-2) for small in (True, False)
    }
    later = {("causal", seed, 3e-3, True): few for seed in (1, 2)}
    later |= {("causal", seed, 1e-2, False): others for seed in (1, 2)}
    again = {
        ("bidirectional", seed, 3e-3, small): few if small else others
        for seed in (0, 1, 2)
        for small in (True, False)
    }
    assert runs == both | later | again and sum(runs.values()) == 77


def test_full_reads_what_the_arena_reads_and_is_judged_by_every_test_review():
    for spec in text_grid("full"):
        assert (spec["model"]["layers"], spec["model"]["d_model"], spec["batch_size"]) == (4, 128, 50)
        assert [task["max_length"] for task in spec["train"]] == [4096]
        tests = [e for e in spec["evaluate"] if e["split"] == "test"]
        assert {e["examples"] for e in tests} == {25_000}
        assert [e["max_length"] for e in tests] == [256, 512, 1024, 2048, 4096]


def test_matrix_memories_hold_equal_state():
    """Of the comparison of all mixers: HML, Mamba-2, RetNet and both DeltaNets, the short convolution aside."""
    for profile in PROFILES:
        specs = {s["mixer"]: s for s in listops_grid(profile)}
        floats = {}
        for mixer in ("hml", "mamba2", "retnet", "gated_deltanet", "momentum_deltanet"):
            with torch.device("meta"):
                model = Backbone(model_config(specs[mixer], 16))
            state = model.init_state(1)[0]
            floats[mixer] = state.memory.numel()
        assert len(set(floats.values())) == 1, floats


def test_directions_are_both_there_and_told_apart():
    for profile in PROFILES:
        specs = listops_grid(profile)
        assert {s["direction"] for s in specs} == set(DIRECTIONS)
        task = task_from(specs[0]["train"][0])
        for s in (specs[0], specs[-1]):
            assert build_model(s, task).bidirectional == (s["direction"] == "bidirectional")


def test_reviews_are_read_at_the_rates_that_the_first_seed_chose():
    runs = get_experiment("lra_text").load(Store(paths.root() / "results"), "laptop").where(direction="causal")
    first = runs.where(seed=0).best_lr("accuracy", "max").runs().set_index("mixer")["lr"]
    later = runs.frame[runs.frame["seed"] > 0].groupby("mixer")["lr"].unique()
    assert all(list(rates) == [first[mixer]] for mixer, rates in later.items())
