"""LRA Text: what its grid asks for, and a smoke run on a machine that has no reviews."""

from collections import Counter

import pytest

from hmlcore.experiments import run_grid
from hmlcore.experiments.base import ALL_MIXERS
from hmlcore.experiments.lra_text import grid
from hmlcore.experiments.synthetic_rates import SMALLER
from hmlcore.results import Store


@pytest.mark.usefixtures("own_folders")
def test_smoke_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wanted = {("gru", "causal"), ("lstm", "bidirectional")}
    specs = [s for s in grid("smoke") if (s["mixer"], s["direction"]) in wanted and s["seed"] == 0]
    store = Store(tmp_path)
    assert run_grid(specs, store).report() == "2 made, 0 already stored"
    rows = store.load("smoke", "lra_text").metric("accuracy")
    assert set(zip(rows["mixer"], rows["direction"], rows["length"], strict=True)) == {
        (*which, length) for which in wanted for length in (16, 32, 64)
    }
    assert set(rows["data_version"]) == {"made-up-reviews-1"}


def test_laptop_tries_two_causal_rates_with_the_first_seed_and_goes_on_at_the_better(monkeypatch):
    monkeypatch.setitem(SMALLER, ("lra_text", "causal"), ("gru", "hml"))
    runs = Counter((s["direction"], s["seed"], s["lr"], s["mixer"] in ("gru", "hml")) for s in grid("laptop"))
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
    for spec in grid("full"):
        assert (spec["model"]["layers"], spec["model"]["d_model"], spec["batch_size"]) == (4, 128, 50)
        assert [task["max_length"] for task in spec["train"]] == [4096]
        tests = [e for e in spec["evaluate"] if e["split"] == "test"]
        assert {e["examples"] for e in tests} == {25_000}
        assert [e["max_length"] for e in tests] == [256, 512, 1024, 2048, 4096]
