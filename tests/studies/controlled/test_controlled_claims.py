"""The rules of the controlled tasks, driven to each verdict."""

import pytest
from made_up_claims import decided, made_up

from hmlcore.studies.controlled.claims import (
    adding,
    addition,
    delay_not_load,
    nobody_follows_s3,
    overwrite_against_delta,
    recurrences,
    sums_beyond_training,
)
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED


def tasks(tmp_path, scores, metric="accuracy", **columns):
    """(task, mixer) → values at the lengths 64 and 1,024."""
    runs = [
        (
            mixer, {"task": task},
            [{"metric": metric, "length": length, "value": value, **columns}
             for length, value in zip((64, 1024), pair, strict=True)],
        )
        for (task, mixer), pair in scores.items()
    ]  # fmt: skip
    return made_up(tmp_path, "synthetic_tasks", runs)


@pytest.mark.parametrize(("mine", "verdict"), [(0.79, CONFIRMED), (0.76, UNDECIDED), (0.7, REFUTED)])
@pytest.mark.parametrize(
    ("rule", "task", "metric"),
    [
        (overwrite_against_delta, "overwrite", "accuracy"),
        (recurrences, "recurrence", "accuracy"),
        (addition, "addition", "accuracy"),
        (adding, "adding", "within_one"),
    ],
)
def test_tasks_are_compared_over_their_lengths(tmp_path, rule, task, metric, mine, verdict):
    scores = {
        (task, "hml"): (mine + 0.1, mine - 0.1),
        (task, "gated_deltanet"): (0.8, 0.8),
        (task, "attention"): (1.0, 1.0),
    }
    assert rule(tasks(tmp_path, scores, metric))[0] == verdict


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [((0.9, 0.95, 0.9), CONFIRMED), ((0.9, 0.95, 0.3), UNDECIDED), ((0.55, 0.4, 0.2), REFUTED)],
)
def test_sums_are_judged_at_the_longest(tmp_path, mine, verdict):
    names = ("parity", "sums modulo 3", "sums modulo 5")
    scores = {(name, "hml"): (1.0, value) for name, value in zip(names, mine, strict=True)}
    assert decided(sums_beyond_training, tasks(tmp_path, scores))[0] == verdict


@pytest.mark.parametrize(("best", "verdict"), [(0.2, CONFIRMED), (0.3, UNDECIDED), (0.6, REFUTED)])
def test_s3_asks_for_the_best_of_all(tmp_path, best, verdict):
    scores = {("S3", "hml"): (0.9, 0.17), ("S3", "lstm"): (0.9, best)}
    assert decided(nobody_follows_s3, tasks(tmp_path, scores))[0] == verdict


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(0.9, 0.85, CONFIRMED), (0.9, 0.6, UNDECIDED), (0.9, 0.4, REFUTED), (0.3, 0.3, UNDECIDED)],
)
def test_copying_is_judged_at_the_payload_that_has_both_delays(tmp_path, near, far, verdict):
    rows = [
        {"metric": "exact", "length": 72 + delay, "payload": payload, "delay": delay, "value": value}
        for payload, delay, value in ((4, 64, near), (4, 8192, far), (8, 64, 0.0))
    ]
    found = made_up(tmp_path, "synthetic_tasks", [("hml", {"task": "copy"}, rows)])
    assert decided(delay_not_load, found)[0] == verdict
