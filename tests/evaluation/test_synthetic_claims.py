"""The rules of the controlled tasks on results made up so that each verdict is known."""

import pytest

from hmlcore.evaluation import ablation_claims, synthetic_claims
from hmlcore.evaluation.claims import CLAIMS
from hmlcore.evaluation.verdicts import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.results import Provenance, Run, Store


def results(tmp_path, experiment, runs):
    """runs: [(mixer, fields of the spec and its rows, rows)], each for three seeds, at one rate."""
    store = Store(tmp_path)
    for mixer, fields, rows in runs:
        for seed in range(3):
            provenance = Provenance(
                device="cpu", steps=10, parameters=100, state_floats=8, state_bytes=fields.get("bytes", 32),
                flops_per_token=1.0, wall_s=1.0, tokens_per_s=1.0, torch="2.13.0", python="3.11.0",
                commit="a" * 40, dirty=False, started_at="2026-01-01T00:00:00+00:00",
            )  # fmt: skip
            own = {k: v for k, v in fields.items() if k in ("variant", "task")}
            spec = {
                "schema": 1, "experiment": experiment, "profile": "laptop", "mixer": mixer, "seed": seed,
                "lr": 0.01, "model": {"d_model": fields.get("d_model", 32)}, "train": [], **own,
            }  # fmt: skip
            store.write(Run(spec, provenance, [{"n": 10, "metric": "accuracy", **own, **row} for row in rows]))
    return store.load("laptop", experiment)


def needle(tmp_path, **scores):
    """mixer → (accuracy at 128 tokens, at 16,384), at two depths around the mean."""
    runs = [
        (
            mixer, {}, [
                {"length": length, "depth": depth, "value": value + change}
                for length, value in zip((128, 16_384), pair, strict=True)
                for depth, change in ((0.0, -0.01), (1.0, 0.01))
            ] + [{"length": 128, "value": 1.0}],  # one of RULER's other settings, without a depth
        )
        for mixer, pair in scores.items()
    ]  # fmt: skip
    return results(tmp_path, "synthetic_needle", runs)


@pytest.mark.parametrize(
    ("mine", "verdict"), [(0.89, CONFIRMED), (0.86, UNDECIDED), (0.84, REFUTED), (0.95, CONFIRMED)]
)
def test_the_needle_is_compared_with_bounded_memories_at_the_longest(tmp_path, mine, verdict):
    found = needle(tmp_path, hml=(0.1, mine), mamba=(0.99, 0.9), gru=(0.99, 0.2), attention=(0.99, 0.99))
    assert synthetic_claims.needle_at_the_longest(found)[0] == verdict


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(0.8, 0.73, CONFIRMED), (0.8, 0.6, UNDECIDED), (0.8, 0.39, REFUTED), (0.4, 0.4, UNDECIDED)],
)
def test_the_share_of_needles_that_is_kept(tmp_path, near, far, verdict):
    found = needle(tmp_path, hml=(near, far), mamba=(0.99, 0.99))
    assert synthetic_claims.needle_keeps(found)[0] == verdict


def test_in_prose_whole_numbers_count(tmp_path):
    """Digits may be right where numbers are not."""
    runs = [
        (mixer, {}, [
            {"length": length, "depth": 0.5, "metric": metric, "value": value}
            for length, whole in ((192, near), (16_384, far))
            for metric, value in (("exact", whole), ("accuracy", 0.9))
        ])
        for mixer, near, far in (("hml", 0.9, 0.1), ("mamba", 0.9, 0.3), ("attention", 1.0, 1.0))
    ]  # fmt: skip
    found = results(tmp_path, "synthetic_needle_text", runs)
    verdict, evidence = synthetic_claims.needle_at_the_longest(found)
    assert verdict == REFUTED and evidence == "at 16,384 bytes: HML 0.100, mamba 0.300: -0.200"
    assert synthetic_claims.needle_keeps(found) == (REFUTED, "0.900 at 192 bytes, 0.100 at 16,384")


def recall(tmp_path, **scores):
    """mixer → (bytes of state, accuracy at each of two widths)."""
    runs = [
        (mixer, {"d_model": width, "bytes": size}, [{"length": 8, "pairs": 2, "value": value}])
        for mixer, (size, *values) in scores.items()
        for width, value in zip((16, 32), values, strict=True)
    ]
    return results(tmp_path, "synthetic_recall", runs)


@pytest.mark.parametrize(("mine", "verdict"), [(0.79, CONFIRMED), (0.76, UNDECIDED), (0.7, REFUTED)])
def test_recall_against_delta(tmp_path, mine, verdict):
    found = recall(tmp_path, hml=(64, mine, mine), gated_deltanet=(64, 0.8, 0.8))
    assert synthetic_claims.recall_against_delta(found)[0] == verdict


@pytest.mark.parametrize(
    ("mine", "verdict"), [((0.8, 0.8), CONFIRMED), ((0.8, 0.7), UNDECIDED), ((0.7, 0.7), REFUTED)]
)
def test_the_frontier_counts_bounded_memories_of_no_more_bytes(tmp_path, mine, verdict):
    others = dict(gated_deltanet=(64, 0.8, 0.8), mamba=(128, 0.99, 0.99), attention=(32, 1.0, 1.0))
    found = recall(tmp_path, hml=(64, *mine), **others)
    assert synthetic_claims.on_the_frontier(found)[0] == verdict


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
    return results(tmp_path, "synthetic_tasks", runs)


@pytest.mark.parametrize(("mine", "verdict"), [(0.79, CONFIRMED), (0.76, UNDECIDED), (0.7, REFUTED)])
@pytest.mark.parametrize(
    ("rule", "task", "metric"),
    [
        (synthetic_claims.overwrite_against_delta, "overwrite", "accuracy"),
        (synthetic_claims.recurrences, "recurrence", "accuracy"),
        (synthetic_claims.addition, "addition", "accuracy"),
        (synthetic_claims.adding, "adding", "within_one"),
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
    assert synthetic_claims.sums_beyond_training(tasks(tmp_path, scores))[0] == verdict


@pytest.mark.parametrize(("best", "verdict"), [(0.2, CONFIRMED), (0.3, UNDECIDED), (0.6, REFUTED)])
def test_s3_asks_for_the_best_of_all(tmp_path, best, verdict):
    scores = {("S3", "hml"): (0.9, 0.17), ("S3", "lstm"): (0.9, best)}
    assert synthetic_claims.nobody_follows_s3(tasks(tmp_path, scores))[0] == verdict


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(0.9, 0.85, CONFIRMED), (0.9, 0.6, UNDECIDED), (0.9, 0.4, REFUTED), (0.3, 0.3, UNDECIDED)],
)
def test_copying_is_judged_at_the_payload_that_has_both_delays(tmp_path, near, far, verdict):
    rows = [
        {"metric": "exact", "length": 72 + delay, "payload": payload, "delay": delay, "value": value}
        for payload, delay, value in ((4, 64, near), (4, 8192, far), (8, 64, 0.0))
    ]
    found = results(tmp_path, "synthetic_tasks", [("hml", {"task": "copy"}, rows)])
    assert synthetic_claims.delay_not_load(found)[0] == verdict


def gradients(tmp_path, ratios, read=None):
    """variant → g_early / g_late after training; read: variant → accuracy of the probe."""
    runs = [
        (
            variant if variant in ("gru", "mamba", "hml") else "hml", {"variant": variant},
            ([{"metric": "early_late", "stage": "trained", "value": ratio}] if ratio is not None else [])
            + [{"metric": "early_late", "stage": "initial", "value": 1.0}]
            + [{"metric": "linear_probe", "lag": lag, "chance": 0.125, "value": value}
               for lag, value in ((256, 1.0), (4096, (read or {}).get(variant, 1.0)))],
        )
        for variant, ratio in ratios.items()
    ]  # fmt: skip
    return results(tmp_path, "synthetic_gradient", runs)


@pytest.mark.parametrize(("mamba", "verdict"), [(0.4, CONFIRMED), (0.6, REFUTED)])
def test_twice_the_gradient_of_every_baseline(tmp_path, mamba, verdict):
    found = gradients(tmp_path, {"hml": 1.0, "gru": 1e-30, "mamba": mamba, "leapfrog learned": 5.0})
    assert synthetic_claims.twice_the_gradient(found)[0] == verdict


@pytest.mark.parametrize(
    ("leapfrog", "oscillator", "verdict"),
    [(50.0, 0.02, CONFIRMED), (500.0, 0.02, UNDECIDED), (None, 1.0, UNDECIDED), (None, 1e-3, REFUTED)],
)
def test_undamped_gradients_have_to_be_finite_and_flat(tmp_path, leapfrog, oscillator, verdict):
    found = gradients(tmp_path, {"leapfrog undamped": leapfrog, "oscillator undamped": oscillator, "gru": 1e-9})
    assert synthetic_claims.undamped_is_flat(found)[0] == verdict


@pytest.mark.parametrize(
    ("ratio", "read", "verdict"), [(1.0, 0.2, CONFIRMED), (1.0, 0.3, REFUTED), (1e-9, 0.2, UNDECIDED)]
)
def test_flat_memories_are_read_at_the_longest_lag(tmp_path, ratio, read, verdict):
    found = gradients(tmp_path, {"hml": ratio, "gru": 1e-30}, {"hml": read, "gru": 0.0})
    assert synthetic_claims.flat_is_not_legible(found)[0] == verdict


def ablations(tmp_path, **changes):
    """Variant → accuracy on copy and overwrite, .5 for those not named."""
    names = ("base", "undamped", "fixed damping", "into both", "Euler", "energy .001", "energy .01")
    runs = [
        ("hml", {"variant": name, "task": task}, [{"value": changes.get(name, 0.5)}])
        for name in names
        for task in ("copy", "overwrite")
        if task == "copy" or not name.startswith("energy")
    ]
    return results(tmp_path, "synthetic_ablation", runs)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"undamped": 0.4, "fixed damping": 0.4}, CONFIRMED),
        ({"undamped": 0.4}, UNDECIDED),
        ({"undamped": 0.4, "fixed damping": 0.6}, REFUTED),
    ],
)
def test_damping(tmp_path, changes, verdict):
    assert ablation_claims.chosen_damping(ablations(tmp_path, **changes))[0] == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.49, CONFIRMED), (0.46, UNDECIDED), (0.6, REFUTED)])
@pytest.mark.parametrize("variant", ["Euler", "into both"])
def test_integrator_and_injection(tmp_path, variant, value, verdict):
    assert ablation_claims.integrator_is_free(ablations(tmp_path, **{variant: value}))[0] == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.3, CONFIRMED), (0.54, UNDECIDED), (0.6, REFUTED)])
def test_the_better_penalty_counts(tmp_path, value, verdict):
    found = ablations(tmp_path, **{"energy .001": value, "energy .01": 0.1})
    assert ablation_claims.penalty_does_not_help(found)[0] == verdict


def test_they_are_among_the_claims_of_the_book():
    assert set(synthetic_claims.SYNTHETIC_CLAIMS) <= set(CLAIMS)
    assert set(ablation_claims.ABLATION_CLAIMS) <= set(synthetic_claims.SYNTHETIC_CLAIMS)
