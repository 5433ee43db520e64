"""The rule of towers, driven to each verdict; who is run at which rate; and what the table leaves out."""

import re

import pytest
from made_up_claims import decided
from made_up_results import TOWERS, loaded, tower_run

from hmlcore.results import Store
from hmlcore.studies import protocol
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.kit.tuning import Tuned
from hmlcore.studies.rotors.claims import (
    BESIDE_TOWERS,
    FLAT,
    TOWER,
    TUNING,
    two_layers_follow_where_one_does_not,
)
from hmlcore.studies.rotors.figures import towers_solved
from hmlcore.studies.rotors.towers import CANDIDATES, GROUPS


def words(folder, tower, flat=0, gate=(1.0, 1.0)):
    """Of three fresh seeds so many solve S3 and D4 with two layers, and so many D4 with one; the seed of tuning
    always does. Baselines get `gate` of S3 and of D4 right in training, and nothing beyond."""
    solving = {(TOWER, "S3"): tower[0], (TOWER, "D4"): tower[1], (FLAT, "D4"): flat}
    store = Store(folder)
    for group, learned in zip(GROUPS, gate, strict=True):
        for variant, mixer in TOWERS.items():
            for seed in range(4):
                run = tower_run(mixer, seed, variant, group)
                right = seed == TUNING or seed <= solving.get((variant, group), 0)
                place = {"variant": variant, "task": group}
                near, far = learned if variant in BESIDE_TOWERS else 1.0, 0.99 if right else 0.98
                run.rows[:] = [
                    place | {"metric": metric, "length": length, "value": value}
                    for length, value in ((8, near), (512, far))
                    for metric in ("accuracy", "accuracy_snapped")
                ]
                store.write(run)
    return loaded(store, "rotor_towers")


@pytest.mark.parametrize(
    ("tower", "flat", "gate", "verdict"),
    [
        ((2, 3), 0, (1, 1), CONFIRMED), ((2, 2), 0, (0.9, 0.9), CONFIRMED), ((3, 3), 1, (1, 1), UNDECIDED),
        ((1, 3), 0, (1, 1), UNDECIDED), ((0, 1), 0, (1, 1), UNDECIDED), ((0, 0), 0, (1, 1), REFUTED),
        ((3, 3), 0, (1, 0.8), UNDECIDED), ((0, 0), 0, (0.8, 0.8), UNDECIDED),
    ],
)  # fmt: skip
def test_two_layers_follow_where_one_does_not(tmp_path, tower, flat, gate, verdict):
    found, evidence = decided(two_layers_follow_where_one_does_not, words(tmp_path, tower, flat, gate))
    assert found == verdict
    assert ("no baseline learns D4 in training" in evidence) == (gate == (1, 0.8))
    assert ("no baseline learns D4 or S3" in evidence) == (max(gate) < 0.9)
    assert f"two layers D4 {tower[1] / 3:.0%}, S3 {tower[0] / 3:.0%}; one D4 {flat / 3:.0%}" in evidence


@pytest.mark.parametrize("profile", PROFILES)
def test_candidates_differ_in_layers_and_memory_at_equal_parameters_and_floats(profile):
    specs = protocol("rotor_towers").grid(profile)
    assert {(s["task"], s["variant"]) for s in specs} == {(g, v) for g in GROUPS for v in CANDIDATES}
    for group in GROUPS:
        assert len({s["model"]["target_parameters"] for s in specs if s["task"] == group}) == 1
    given = {s["variant"]: s["model"]["mixer_args"] for s in specs}
    assert given[TOWER] == given[FLAT] == given["delta in 2 layers"] | {"rotors": 8}
    floats = {v: g["num_heads"] * g["head_dim"] ** 2 for v, g in given.items() if v != "GRU in 1 layer"}
    assert len(set(floats.values())) == 1
    assert all(s["model"]["layers"] == (1 if "1 layer" in s["variant"] else 2) for s in specs)
    longest = max(task["length"] for task in specs[0]["train"])
    if profile != "smoke":
        assert specs[0]["snapping"]["on"]["length"] == 4 * longest


def test_fresh_seeds_run_at_what_the_seed_of_tuning_chose(monkeypatch):
    chosen = {"D4, GRU in 1 layer": {"gru": Tuned(0.001)}, f"S3, {TOWER}": {"hml": Tuned(0.01)}}
    stored = {"laptop": {"rotor_towers": chosen}}
    monkeypatch.setattr("hmlcore.studies.rotors.towers.read_tuned", lambda _: stored)
    rates = {}
    for s in protocol("rotor_towers").grid("laptop"):
        case = (s["task"], s["variant"], "tuning" if s["seed"] == TUNING else "fresh")
        rates.setdefault(case, []).append(s["lr"])
    for group in GROUPS:
        for variant in CANDIDATES:
            assert rates[group, variant, "tuning"] == [1e-3, 3e-3, 1e-2]
            ((mixer, found),) = chosen.get(f"{group}, {variant}", {"": Tuned(0.003)}).items()
            assert rates[group, variant, "fresh"] == [found.lr] * 3, mixer


def test_the_table_judges_fresh_seeds_only(tmp_path):
    table = towers_solved(words(tmp_path, (2, 0))).html
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)]
    found = {tuple(row[:2]): row[2:] for row in rows if row}
    assert found["S3", f"{TOWER}, snapped"] == ["67%", "1.000", "0.987", "0.003"]
    assert found["D4", f"{TOWER}, snapped"] == ["0%", "1.000", "0.980", "0.003"]
    assert "3 seeds" in table
