"""The bake-off's rule, on results made up so that its outcome is known."""

import pytest
from made_up_claims import decided
from made_up_results import loaded, provenance

from hmlcore.results import Run, Store
from hmlcore.studies.bakeoff.claims import (
    behind,
    momentum_pays,
    rotation_counts,
    seed_scores,
    standings,
    winner,
    winner_matches_delta,
)
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED

TASKS = ("recall", "overwrite", "needle", "modular sums", "text")


def store(tmp_path, scores, flops=None, lrs=(0.01,)):
    """scores: variant → five values (accuracy; bits per byte for text), the same for three seeds."""
    made = Store(tmp_path)
    for variant, values in scores.items():
        for task, value in zip(TASKS, values, strict=True):
            for seed in range(3):
                for lr in lrs:
                    metric = "bits_per_byte" if task == "text" else "accuracy"
                    here = {"variant": variant, "task": task, "n": 10}
                    rows = [
                        {"metric": metric, "value": value, "length": 1, **here},
                        {"metric": metric, "value": value, "length": 2, **here},
                        # On validation the larger rate looks better, whatever the test says.
                        {"metric": "bits_per_token", "split": "validation", "value": 1 - lr, **here},
                    ]
                    spec = {
                        "schema": 1, "experiment": "bakeoff", "profile": "laptop", "mixer": "hml",
                        "seed": seed, "lr": lr, "variant": variant, "task": task,
                    }  # fmt: skip
                    made.write(Run(spec, provenance(flops_per_token=(flops or {}).get(variant, 100.0)), rows))
    return loaded(made, "bakeoff")


def test_ranks_are_means_over_tasks_and_text_counts_downwards(tmp_path):
    results = store(tmp_path, {"a": (0.9, 0.9, 0.9, 0.1, 3.0), "b": (0.8, 0.8, 0.9, 0.9, 2.0)})
    table = standings(results)
    assert table["rank"].loc["a"].to_dict() == {
        "recall": 1, "overwrite": 1, "needle": 1.5, "modular sums": 2, "text": 2,
    }  # fmt: skip
    assert table.loc["a", ("mean rank", "")] == 1.5 and table.loc["b", ("mean rank", "")] == 1.5
    assert table["score"].loc["b", "text"] == -2.0


def test_ties_go_to_the_cheaper(tmp_path):
    scores = {"a": (0.9, 0.9, 0.9, 0.1, 3.0), "b": (0.8, 0.8, 0.9, 0.9, 2.0)}
    assert winner(store(tmp_path / "1", scores, {"a": 5.0, "b": 6.0})) == "a"
    assert winner(store(tmp_path / "2", scores, {"a": 6.0, "b": 5.0})) == "b"


def test_the_rate_is_chosen_on_validation_and_seeds_are_kept_apart(tmp_path):
    results = store(tmp_path, {"a": (0.5,) * 5}, lrs=(0.003, 0.01))
    scores = seed_scores(results)
    assert len(scores) == 5 * 3 and set(scores["seed"]) == {0, 1, 2}
    assert standings(results, seeds=[1]).shape[0] == 1


def test_a_diverged_run_is_last(tmp_path):
    results = store(tmp_path, {"a": (float("nan"), 0.9, 0.9, 0.9, 2.0), "b": (0.1, 0.9, 0.9, 0.9, 2.0)})
    assert standings(results)["rank"].loc["a", "recall"] == 2


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ((0.9, 0.9, 0.9, 0.9, 2.0), CONFIRMED),
        ((0.79, 0.79, 0.79, 0.9, 2.0), CONFIRMED),  # .01 behind, within .02
        ((0.7, 0.9, 0.9, 0.9, 2.0), UNDECIDED),
    ],
)
def test_the_winner_against_delta(tmp_path, mine, verdict):
    others = {f"weak {i}": (0.1, 0.1, 0.1, 0.1, 5.0) for i in range(2)}
    results = store(tmp_path, {"delta": (0.8, 0.8, 0.8, 0.3, 2.1), "x": mine, **others})
    if winner(results) == "x":
        assert decided(winner_matches_delta, results)[0] == verdict
    else:
        assert winner(results) == "delta" and decided(winner_matches_delta, results)[0] == CONFIRMED


def test_a_winner_that_is_behind_on_three_tasks_is_refuted(tmp_path):
    # x is never far behind in rank, since between it and delta there is nobody; others fall between elsewhere.
    scores = {
        "delta": (0.8, 0.8, 0.8, 0.1, 5.0), "x": (0.7, 0.7, 0.7, 0.9, 2.0),
        "y": (0.1, 0.1, 0.1, 0.5, 3.0), "z": (0.1, 0.1, 0.1, 0.4, 4.0),
    }  # fmt: skip
    results = store(tmp_path, scores)
    assert winner(results) == "x"
    verdict, evidence = decided(winner_matches_delta, results)
    assert verdict == REFUTED and "recall -0.100" in evidence and "text -60.0% bits per byte" in evidence


@pytest.mark.parametrize(
    ("leapfrog", "verdict"),
    [
        ((0.9, 0.9, 0.9, 0.2, 2.2), CONFIRMED),
        ((0.7, 0.7, 0.9, 0.9, 2.2), REFUTED),
        ((0.7, 0.9, 0.9, 0.8, 2.0), CONFIRMED),
        ((0.7, 0.7, 0.7, 0.7, 2.2), REFUTED),
    ],
)
def test_momentum_against_its_limit(tmp_path, leapfrog, verdict):
    results = store(tmp_path, {"delta": (0.8, 0.8, 0.8, 0.5, 2.1), "leapfrog": leapfrog})
    assert decided(momentum_pays, results)[0] == verdict


@pytest.mark.parametrize(
    ("turning", "verdict"),
    [
        ((0.8, 0.76, 0.8, 0.75, 2.1), CONFIRMED),
        ((0.8, 0.7, 0.8, 0.75, 2.1), UNDECIDED),  # counts, but costs overwrite .1
        ((0.8, 0.5, 0.8, 0.75, 2.1), REFUTED),  # costs it .3
        ((0.8, 0.8, 0.8, 0.52, 2.1), REFUTED),  # does not count
    ],
)
def test_rotating_heads_against_none(tmp_path, turning, verdict):
    results = store(tmp_path, {"delta": (0.8, 0.8, 0.8, 0.5, 2.1), "delta + rotation": turning})
    assert decided(rotation_counts, results)[0] == verdict
    assert behind(results, "delta + rotation", "delta")["modular sums"] == pytest.approx(0.5 - turning[3])
