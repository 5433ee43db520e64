"""The rules of the holographic memory, driven to each verdict; its grids meet at equal floats of state."""

import pytest
import torch
from made_up_claims import decided
from made_up_results import (
    BOUND,
    bound_cost_run,
    bound_part_run,
    bound_task_run,
    capacity_run,
    loaded,
)

from hmlcore.layers import build_mixer
from hmlcore.results import Store
from hmlcore.studies import protocol
from hmlcore.studies.holographic import LAYER, claims
from hmlcore.studies.holographic.capacity import recalled, stored_as
from hmlcore.studies.holographic.grid import PARTS
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.kit.superposition import routed

BINDINGS = ("unitary", "bipolar", "convolution")


def capacity(folder, **given):
    store = Store(folder)
    for binding in BINDINGS:
        own = given if binding == "unitary" or "off" not in given or given["off"] > 0.2 else {}
        store.write(capacity_run(binding, **own))
    return loaded(store, "holographic_capacity")


@pytest.mark.parametrize(
    ("rule", "given", "verdict"),
    [
        ("recall_follows_the_law", {}, CONFIRMED),
        ("recall_follows_the_law", {"off": 0.3}, REFUTED),
        ("bindings_hold_the_same", {}, CONFIRMED),
        ("bindings_hold_the_same", {"off": 0.2}, REFUTED),
        ("slots_hold_no_more", {"gain": -0.1}, CONFIRMED),
        ("slots_hold_no_more", {"gain": 0.03}, UNDECIDED),
        ("slots_hold_no_more", {"gain": 0.1}, REFUTED),
        ("a_byte_a_number_is_enough", {"lost": 0.005}, CONFIRMED),
        ("a_byte_a_number_is_enough", {"lost": 0.015}, UNDECIDED),
        ("a_byte_a_number_is_enough", {"lost": 0.03}, REFUTED),
        ("learned_keys_hold_more", {"learned": 0.1}, CONFIRMED),
        ("learned_keys_hold_more", {"learned": 0.0}, REFUTED),
    ],
)
def test_capacity(tmp_path, rule, given, verdict):
    assert decided(getattr(claims, rule), capacity(tmp_path, **given))[0] == verdict


@pytest.mark.parametrize(
    ("times", "faster", "verdicts"),
    [
        (0.2, True, (REFUTED, CONFIRMED)),
        (2.0, False, (UNDECIDED, REFUTED)),
        (11.0, True, (CONFIRMED, CONFIRMED)),
    ],
)
def test_cost(tmp_path, times, faster, verdicts):
    store = Store(tmp_path)
    for mixer in ("attention", LAYER, "holographic_legacy"):
        store.write(bound_cost_run(mixer, times, faster))
    results = loaded(store, "holographic_cost")
    found = [
        decided(rule, results) for rule in (claims.described_is_cheaper, claims.decoding_overtakes_attention)
    ]
    assert tuple(verdict for verdict, _ in found) == verdicts
    assert "at 2,048 tokens" in found[0][1]


@pytest.mark.parametrize(
    ("own", "verdicts"),
    [(0.9, (CONFIRMED, CONFIRMED, REFUTED)), (0.87, (UNDECIDED, UNDECIDED, UNDECIDED)),
     (0.6, (REFUTED, REFUTED, CONFIRMED))],
)  # fmt: skip
def test_tasks(tmp_path, own, verdicts):
    store = Store(tmp_path)
    for seed in range(5):
        for variant in BOUND:
            for task in ("recall", "overwrite", "copy", "needle", "bytes"):
                store.write(bound_task_run(seed, variant, task, own))
    results = loaded(store, "holographic_tasks")
    rules = claims.it_recalls_as_well_as_any, claims.it_replaces_attention_on_text, claims.it_cannot_overwrite
    assert tuple(decided(rule, results)[0] for rule in rules) == verdicts


@pytest.mark.parametrize(
    ("values", "verdicts"),
    [
        (
            {"as described and keys redrawn": 0.1, "loss at random lags": 0.95},
            (CONFIRMED, CONFIRMED, CONFIRMED),
        ),
        ({"convolution": 0.7, "loss at random lags": 0.8}, (REFUTED, REFUTED, REFUTED)),
        ({"unitary": 0.3, "convolution": 0.38}, (UNDECIDED, UNDECIDED, UNDECIDED)),
    ],
)
def test_parts(tmp_path, values, verdicts):
    store = Store(tmp_path)
    for variant in ("unitary", "convolution", "loss at lag 0", "loss at random lags", "as described",
                    "as described and keys redrawn"):  # fmt: skip
        for task in ("recall", "overwrite"):
            store.write(bound_part_run(0, variant, task, values.get(variant, 0.9)))
    results = loaded(store, "holographic_ablation")
    rules = (
        claims.convolution_learns_what_phases_learn,
        claims.redrawn_keys_carry_nothing,
        claims.a_loss_at_random_lags_helps,
    )
    assert tuple(decided(rule, results)[0] for rule in rules) == verdicts


@pytest.mark.parametrize("profile", PROFILES)
def test_bounded_memories_meet_at_equal_floats(profile):
    found = protocol("holographic_tasks").grid(profile) + protocol("holographic_ablation").grid(profile)
    seen = {}
    for spec in found:
        model = spec["model"]
        key = spec["mixer"], str(model["mixer_args"]), model["d_model"]
        if spec["mixer"] != "attention" and key not in seen:
            with torch.device("meta"):
                mixer = build_mixer(spec["mixer"], model["d_model"], **model["mixer_args"])
            seen[key] = getattr(mixer.init_state(1), "memory").numel()  # noqa: B009
    assert {(d, n) for (_, _, d), n in seen.items()} == {(d, 8 * d * d // 16) for _, _, d in seen}
    assert {spec["variant"] for spec in protocol("holographic_ablation").grid(profile)} == set(PARTS)


def test_what_is_measured_is_the_law_and_fewer_bits_are_fewer():
    spec = {"binding": "unitary", "values": 16, "reads": 600}
    for slots in (1, 4):
        found = recalled(spec, 128, 32, slots)["fp32"]
        assert abs(found - routed(128 / slots, 32, 16, slots)) < 0.09
    memory = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    kinds = ("fp32", "fp16", "int8", "int4", "signs")
    errors = [float((stored_as(memory, kind) - memory).norm()) for kind in kinds]
    assert errors == sorted(errors) and errors[0] == 0 < errors[1]
    assert len(stored_as(memory[0], "int4").unique()) <= 15 and len(stored_as(memory[0], "signs").unique()) == 2
