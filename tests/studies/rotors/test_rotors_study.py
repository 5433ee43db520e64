"""The rules of counting, driven to each verdict; its grids, and what its rotors are snapped to."""

import pytest
import torch
from made_up_claims import decided, made_up

from hmlcore.models import Backbone, BackboneConfig
from hmlcore.runner.model import build_model
from hmlcore.studies import protocol
from hmlcore.studies.kit import ground
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.comparison import task_from
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.rotors.claims import (
    BASELINES,
    rotors_beat_other_counters,
    rotors_beat_the_delta_rule,
    rotors_count,
    snapping_costs_nothing,
    snapping_keeps_the_count,
)
from hmlcore.studies.rotors.grid import CHOSEN, GROUPS, ROTORS, arguments


def sums(tmp_path, snapped, learned=None, near=(1.0, 1.0), rivals=0.5, gate=1.0, seeds=6):
    """Accuracy of rotors at 512 symbols, by modulus, snapped and as learned; and at 8, snapped and learned."""
    runs = []
    for task, value in snapped.items():
        for variant in ("4 rotors", *BASELINES):
            own = variant == "4 rotors"
            far = (value, value if learned is None else learned) if own else (rivals, rivals)
            rows = [
                {"metric": metric, "length": length, "value": v}
                for length, pair in ((8, near if own else (gate, gate)), (512, far))
                for metric, v in zip(("accuracy_snapped", "accuracy"), pair, strict=True)
            ]
            fields = {"variant": variant, "task": task, "train": [{"task": "word_problem", "length": 8}]}
            runs.append((arguments(variant, {"d_model": 16, "heads": 2})[0], fields, rows))
    return made_up(tmp_path, "rotor_counting", runs, seeds)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((1, 1, 1, 1, 0.99), CONFIRMED), ((1, 1, 1, 1, 0.98), UNDECIDED), ((1, 0.9, 0.9, 1, 0.5), REFUTED)],
)
def test_the_share_of_seeds_that_solve_a_modulus(tmp_path, values, verdict):
    results = sums(tmp_path, dict(zip(GROUPS, values, strict=True)))
    assert decided(rotors_count, results)[0] == verdict


@pytest.mark.parametrize(("learned", "verdict"), [(0.7, CONFIRMED), (0.99, REFUTED), (1.0, REFUTED)])
def test_what_snapping_keeps(tmp_path, learned, verdict):
    assert decided(snapping_keeps_the_count, sums(tmp_path, {"parity": 1.0}, learned))[0] == verdict


def test_few_seeds_do_not_decide(tmp_path):
    results = sums(tmp_path, {"parity": 1.0}, 0.7, seeds=3)
    assert decided(snapping_keeps_the_count, results)[0] == UNDECIDED
    assert decided(rotors_beat_the_delta_rule, results)[0] == REFUTED


@pytest.mark.parametrize(("snapped", "verdict"), [(0.99, CONFIRMED), (0.9, REFUTED)])
def test_what_snapping_costs(tmp_path, snapped, verdict):
    assert decided(snapping_costs_nothing, sums(tmp_path, {"parity": 1.0}, near=(snapped, 1.0)))[0] == verdict


@pytest.mark.parametrize(
    ("own", "rivals", "gate", "verdict"),
    [(1.0, 0.5, 1.0, CONFIRMED), (0.5, 0.5, 1.0, REFUTED), (1.0, 0.5, 0.8, UNDECIDED)],
)
@pytest.mark.parametrize("rule", [rotors_beat_the_delta_rule, rotors_beat_other_counters])
def test_rotors_against_rivals(tmp_path, rule, own, rivals, gate, verdict):
    found = decided(rule, sums(tmp_path, dict.fromkeys(GROUPS, own), None, (1, 1), rivals, gate))
    assert found[0] == verdict
    assert ("not measured" in found[1]) == (gate < 0.9)


def floats(spec):
    """Of memory a block."""
    given = spec["model"]["mixer_args"]
    if spec["mixer"] == "mamba2":
        return 2 * spec["model"]["d_model"] * given["d_state"]
    return given["num_heads"] * given["head_dim"] ** 2


def test_what_was_chosen_is_what_other_comparisons_take():
    assert ROTORS[CHOSEN] == ground.ROTORS


def test_every_rival_has_half_the_seeds_of_the_rotors_and_the_same_ones():
    seeds = {variant: set() for variant in (CHOSEN, *BASELINES)}
    for spec in protocol("rotor_counting").grid("laptop"):
        seeds[spec["variant"]].add(spec["seed"])
    assert seeds.pop(CHOSEN) == set(range(10, 20))
    assert set(map(frozenset, seeds.values())) == {frozenset(range(10, 15))}


@pytest.mark.parametrize("profile", PROFILES)
def test_fresh_seeds_meet_at_equal_parameters_and_floats(profile):
    starts, tests = (protocol(name).grid(profile) for name in ("rotor_starts", "rotor_counting"))
    assert not {s["seed"] for s in starts} & {s["seed"] for s in tests}
    assert not any(entry["split"] == "test" for spec in starts for entry in spec["evaluate"])
    for task in GROUPS:
        mine = [s for s in tests if s["task"] == task]
        assert {s["variant"] for s in mine} == {CHOSEN, *BASELINES} and CHOSEN in ROTORS
        assert len({s["model"]["target_parameters"] for s in mine}) == 1
        assert len({floats(s) for s in mine if s["variant"] != "GRU"}) == 1
        assert all(s["optimizer"] == "muon" for s in mine)


def test_a_drifting_rotor_is_snapped_and_scored_again():
    """One that turns by almost a half for every 1 is right for a while, and for ever where it is snapped."""
    (spec, *_) = [
        s for s in protocol("rotor_counting").grid("smoke") if s["variant"] == CHOSEN and s["task"] == "parity"
    ]
    spec["model"]["mixer_args"] |= {"rotors": 1, "rotor_start": 0.01}
    model = build_model(spec, task_from(spec["train"][0]))
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.embedding.weight[0, 0] = model.embedding.weight[1, 1] = 1
        block = model.blocks[0]
        for norm in (block.mixer_norm, block.mlp_norm, model.norm):
            norm.weight.fill_(1)
        size = float(block.mixer_norm(model.embedding.weight)[1, 1])
        block.mixer.rotation.weight[0, 1] = 0.495 / 0.1 / size
        # cos Φ > 0: even. The answer outweighs the token that is read.
        block.mixer.rotor_proj.weight[0, 0], block.mixer.rotor_proj.weight[1, 0] = 9, -9
    rows = protocol("rotor_counting").examine(model, None, spec)
    (lattice,) = [row["value"] for row in rows if row["metric"] == "lattice"]
    longest = [r["value"] for r in rows if r["metric"] == "accuracy_snapped" and r["length"] == 32]
    assert lattice == 60 and longest == [1.0]
    block.mixer.snap(0)
    before = protocol("rotor_counting").examine(Backbone(BackboneConfig(2, "gru", 16, 1, 8)), None, spec)
    assert not [r for r in before if r["metric"] == "lattice"]


@pytest.mark.parametrize("profile", PROFILES)
def test_asked_again_are_other_seeds_of_the_rotors_alone(profile):
    """What changes is how long may be trained and what sums snap; the rates and the tests are the same."""
    first, again = (protocol(name).grid(profile) for name in ("rotor_counting", "rotor_counting_again"))
    first = [s for s in first if s["variant"] == CHOSEN]
    chosen = {s["seed"] for s in protocol("rotor_starts").grid(profile)}
    assert not {s["seed"] for s in again} & ({s["seed"] for s in first} | chosen)
    own = ("experiment", "seed", "steps", "warmup", "snapping")
    alike = [{str({k: v for k, v in s.items() if k not in own}) for s in specs} for specs in (first, again)]
    assert alike[0] == alike[1] and len(again) == len(first)
    longest = max(entry["length"] for entry in again[0]["train"])
    assert {s["snapping"]["on"]["length"] for s in again} == {longest * (4 if profile == "smoke" else 16)}
    assert {s["snapping"]["on"]["split"] for s in again} == {"validation"}
    assert {s["steps"] for s in again} != {s["steps"] for s in first}
