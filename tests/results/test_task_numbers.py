"""Numbers of the controlled tasks, by hand from made-up runs."""

import pytest
from made_up import provenance, run

from hmlcore.results import Store
from hmlcore.studies.kit.numbers import numbers


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def accuracy(value, **at):
    return {"metric": "accuracy", "value": value, "n": 10, **at}


def test_needle_has_a_mean_over_depths_and_the_range_of_seeds(store):
    for seed, gain in ((0, 0.0), (1, 0.2)):
        rows = [
            accuracy(v + gain, length=n, depth=d) for n, d, v in ((64, 0, 0.4), (64, 1, 0.8), (512, 0, 0.1))
        ]
        store.write(run([*rows, accuracy(0.99, length=512)], experiment="synthetic_needle", seed=seed))
    found = numbers(store, "smoke")
    assert (found["synthetic_needle_hml_shortest"], found["synthetic_needle_hml_longest"]) == ("0.700", "0.200")
    assert found["synthetic_needle_hml_shortest_range"] == "0.600–0.800"
    assert found["synthetic_needle_length_longest"] == "512"


def test_needle_in_prose_is_quoted_by_whole_numbers(store):
    rows = [accuracy(0.9, length=64, depth=0), {**accuracy(0.3, length=64, depth=0), "metric": "exact"}]
    store.write(run(rows, experiment="synthetic_needle_text"))
    found = numbers(store, "smoke")
    assert found["synthetic_needle_text_hml_longest"] == "0.300"
    assert found["synthetic_needle_text_length_longest"] == "64"


def test_tasks_are_quoted_by_what_they_are_scored_by(store):
    rows = [accuracy(0.9, task="copy"), {"metric": "exact", "value": 0.25, "n": 10, "task": "copy"}]
    store.write(run([*rows, accuracy(0.5, task="sums modulo 3")], experiment="synthetic_tasks"))
    found = numbers(store, "smoke")
    assert found["synthetic_tasks_hml_copy"] == "0.250"
    assert found["synthetic_tasks_hml_sums_modulo_3"] == "0.500"


def test_frontier_is_paired_by_seed(store):
    for mixer, seed, value in (
        ("hml", 0, 0.6),
        ("hml", 1, 0.8),
        ("hml", 2, 0.0),
        ("gru", 0, 0.5),
        ("gru", 1, 0.5),
    ):
        made = provenance(state_bytes=2048 if mixer == "hml" else 256)
        row = accuracy(value, pairs=8)
        store.write(run([row], made=made, experiment="synthetic_recall", mixer=mixer, seed=seed))
    found = numbers(store, "smoke")
    assert found["synthetic_recall_hml_minus_gru"] == "+0.200"
    assert found["synthetic_recall_hml_minus_gru_range"] == "+0.100 to +0.300"
    assert (found["synthetic_recall_hml_state"], found["synthetic_recall_gru_state"]) == ("2 KiB", "256 B")


def test_gradients_have_a_geometric_mean(store):
    for seed, value in ((0, 1.0), (1, 100.0)):
        rows = [
            {"metric": "early_late", "value": v, "n": 1, "variant": "hml", "stage": stage}
            for stage, v in (("initial", 7.0), ("trained", value))
        ]
        store.write(run(rows, experiment="synthetic_gradient", seed=seed))
    assert numbers(store, "smoke")["synthetic_gradient_hml_early_late"] == "10"


def test_ablations_are_paired_and_steps_keep_apart(store):
    for variant, values in (("base", (0.5, 0.7)), ("step ½", (0.4, 0.7)), ("step ¼", (0.6, 0.9))):
        for seed, value in enumerate(values):
            own = {"task": "overwrite", "variant": variant}
            store.write(run([accuracy(value, **own)], experiment="synthetic_ablation", seed=seed, **own))
    found = numbers(store, "smoke")
    assert found["synthetic_ablation_step_half_overwrite"] == "−0.050"
    assert found["synthetic_ablation_step_quarter_overwrite"] == "+0.150"
    assert found["synthetic_ablation_step_quarter_overwrite_range"] == "+0.100 to +0.200"


def test_bakeoff_by_variant(store):
    own = {"task": "recall", "variant": "leapfrog + rotation"}
    store.write(run([accuracy(0.2, **own), accuracy(0.4, **own)], experiment="bakeoff", **own))
    assert numbers(store, "smoke")["bakeoff_leapfrog_rotation_recall"] == "0.300"


def test_physics(store):
    def row(metric, value, **at):
        return {"metric": metric, "value": value, "n": 1, **at}

    rows = [row("lyapunov", v, dynamics="leapfrog", gamma=g) for v, g in ((0.1, 1.0), (0.3, 1.0), (0.9, 0.5))]
    rows += [
        row("reversal_error", v, dynamics="oscillator", rho=1.0, tokens=t)
        for v, t in ((2e-3, 1000), (1e-7, 10))
    ]
    store.write(run(rows, experiment="physics", lr=None))
    found = numbers(store, "smoke")
    assert found["physics_leapfrog_undamped_growth"] == "+0.300"
    assert (found["physics_reversal_tokens"], found["physics_oscillator_reversal_error"]) == (
        "1,000",
        "0.00200",
    )


def test_operations_are_compared_at_the_longest_that_both_have(store):
    for mixer, times in (("op:hml-p2", {64: 1.0, 128: 2.0, 256: 4.0}), ("op:sdpa", {64: 1.0, 128: 6.0})):
        rows = [{"metric": "seconds_train", "value": v, "length": n, "n": 1} for n, v in times.items()]
        store.write(run(rows, experiment="op_speed", mixer=mixer, lr=None))
    found = numbers(store, "smoke")
    assert found["op_speed_op_hml_p2_against_op_sdpa"] == "3.00"
    assert found["op_speed_op_hml_p2_against_op_sdpa_length"] == "128"
