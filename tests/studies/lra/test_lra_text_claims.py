"""The rules of LRA Text on results made up so that each verdict is known."""

import pytest
from made_up_claims import decided
from made_up_results import loaded, provenance

from hmlcore.results import Run, Store
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.lra.claims import both_ways_help, nobody_loses_by_reading_on, text_with_bounded


def results(tmp_path, scores, lengths=(256, 512), rates=(0.01,)):
    """(mixer, direction) → a list a seed of accuracies at `lengths`, the first of which is trained on.

    At other rates than the first, validation is worse and the test better by .1.
    """
    store = Store(tmp_path)
    for (mixer, direction), seeds in scores.items():
        for seed, values in enumerate(seeds):
            for lr in rates:
                off = 0.1 * (lr != rates[0])
                spec = {
                    "schema": 1, "experiment": "lra_text", "profile": "laptop", "mixer": mixer, "seed": seed,
                    "lr": lr, "model": {"d_model": 32}, "direction": direction, "train": [],
                }  # fmt: skip
                rows = [
                    {"metric": "accuracy", "split": "test", "length": length, "value": value + off, "n": 500}
                    for length, value in zip(lengths, values, strict=True)
                ]
                first = {"split": "validation", "value": 0.5 - off, "length": lengths[0]}
                rows = [{**row, "direction": direction} for row in [*rows, rows[0] | first]]
                store.write(Run(spec, provenance(), rows))
    return loaded(store, "lra_text")


def causal(tmp_path, rates=(0.01,), **scores):
    """mixer → accuracies of the seeds at the length of training; at the longer one they are all the same."""
    seeds = {(m, "causal"): [(value, 0.6) for value in values] for m, values in scores.items()}
    return results(tmp_path, seeds, rates=rates)


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ([0.705, 0.705, 0.705], CONFIRMED),  # less than .02 below the others' best, though in every seed
        ([0.5, 0.9, 0.8], CONFIRMED),
        ([0.69, 0.68, 0.69], REFUTED),  # less than .05 below, in every seed
        ([0.6, 0.6, 0.8], REFUTED),  # more than .05 below, though not in every seed
        ([0.73, 0.66, 0.67], UNDECIDED),
    ],
)
def test_hml_against_the_best_bounded_memory(tmp_path, mine, verdict):
    found = causal(tmp_path, hml=mine, mamba=[0.72] * 3, gru=[0.5] * 3, attention=[0.9] * 3, hyena=[0.9] * 3)
    made, evidence = decided(text_with_bounded, found)
    assert made == verdict and f"mamba 0.720: {sum(mine) / 3 - 0.72:+.3f}" in evidence


def test_with_five_seeds_an_interval_tells(tmp_path):
    mine = [0.66, 0.69, 0.67, 0.68, 0.721]  # above the other in one seed, below on the whole
    found = causal(tmp_path / "five", hml=mine, gru=[0.72] * 5)
    verdict, evidence = decided(text_with_bounded, found)
    assert verdict == REFUTED and "below 0 in 4 of 5 seeds, 95 % interval -0.0" in evidence
    found = causal(tmp_path / "four", hml=mine[1:], gru=[0.72] * 4)
    assert decided(text_with_bounded, found)[0] == UNDECIDED


def test_rates_are_chosen_on_validation(tmp_path):
    """The rate that is better on the test is not looked at."""
    found = causal(tmp_path, rates=(0.01, 0.003), hml=[0.6], mamba=[0.7])
    assert decided(text_with_bounded, found) == (
        REFUTED, "HML 0.600, mamba 0.700: -0.100, below 0 in 1 of 1 seeds"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("both", "verdict"),
    [
        ([0.73, 0.72, 0.72], CONFIRMED),
        ([0.71, 0.71, 0.71], UNDECIDED),  # in every seed, but too little
        ([0.8, 0.69, 0.75], UNDECIDED),  # enough, but not in every seed
        ([0.7, 0.7, 0.7], REFUTED),
        ([0.8, 0.6, 0.65], REFUTED),
    ],
)
def test_reading_both_ways_against_reading_on(tmp_path, both, verdict):
    scores = {
        ("hml", "causal"): [(0.7, 0.9)] * 3,
        ("hml", "bidirectional"): [(value, 0.1) for value in both],
        ("gru", "bidirectional"): [(0.99, 0.99)] * 3,
    }
    assert decided(both_ways_help, results(tmp_path, scores))[0] == verdict


@pytest.mark.parametrize(
    ("longer", "verdict"),
    [((0.75, 0.8), CONFIRMED), ((0.685, 0.8), CONFIRMED), ((0.66, 0.8), UNDECIDED), ((0.8, 0.64), REFUTED)],
)
def test_the_worst_of_all_mixers_and_longer_lengths_counts(tmp_path, longer, verdict):
    scores = {
        ("hml", "causal"): [(0.6, 0.7, 0.7)] * 3,
        ("attention", "causal"): [(0.7, *longer)] * 3,
        ("gru", "bidirectional"): [(0.9, 0.1, 0.1)] * 3,
    }
    found = results(tmp_path, scores, lengths=(256, 512, 1024))
    made, evidence = decided(nobody_loses_by_reading_on, found)
    assert made == verdict
    assert (
        evidence.startswith("lowest change from 256 to as many as 1,024 bytes: attention ")
        is (min(longer) < 0.8)
        and "gru" not in evidence
    )


def test_shorter_parts_of_a_review_are_no_loss(tmp_path):
    found = results(tmp_path, {("hml", "causal"): [(0.8, 0.5)]}, lengths=(256, 128))
    verdict, evidence = decided(nobody_loses_by_reading_on, found)
    assert verdict == UNDECIDED and evidence == "nothing longer than the 256 bytes of training was read"
