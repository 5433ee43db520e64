"""The grids as they stand: complete, fair and buildable, before anything is run."""

import itertools
import json
from collections import defaultdict
from functools import cache

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.results import spec_hash
from hmlcore.results.spec import canonical, check_spec
from hmlcore.results.uniform import check_uniform
from hmlcore.runner.model import build_model, model_config
from hmlcore.runner.select import label
from hmlcore.studies import experiments, folder_of, get_experiment, protocol
from hmlcore.studies.ablation.grid import FACTORS
from hmlcore.studies.holographic.grid import PARTS, PARTS_OF
from hmlcore.studies.kit.comparison import HEADLINE, read_rates, task_from
from hmlcore.studies.kit.study import PROFILES, check_profile
from hmlcore.studies.rotors.grid import CHOSEN

# What is timed side by side is not trained, and has tests of its own.
TRAINED = {name: e for name, e in experiments().items() if e.trained}
# What others build on: decided on validation alone.
CHOICES = ("rotor_starts", "ground", "options")
# Those whose outcome is the question have more seeds than the rest.
FURTHER_SEEDS = {("synthetic_needle", "laptop"): HEADLINE}
for _profile in ("laptop", "full"):
    FURTHER_SEEDS |= {("rotor_counting", _profile): (CHOSEN,)}
# Where some seeds try all rates, and more of them where an edge won.
MORE_RATES = ("options", "rotor_starts", "copy", "recall")
GRIDS = {(name, profile): protocol(name).grid(profile) for name in TRAINED for profile in PROFILES}
# At `laptop` these try all rates with the first seed, and run the others at the better one.
SEED_0_TUNED = [name for name in TRAINED if name in read_rates(folder_of(name)).get("laptop", {})]
each = pytest.mark.parametrize(("name", "profile"), list(GRIDS))
# The books' grid has parts of several kinds (tuning, all mixers, the headline pair), that of the comparison
# chooses before it tests: they have tests of their own.
# The models of the explorers and of portraits are shown, one seed each, and compared by nobody.
SEVERAL_KINDS = (
    "pg19", "fair_tuning", "fair", "holographic_tuning", "holographic_portrait", "explorer-models", "portraits",
    "orbit",
)  # fmt: skip
each_of_one_kind = pytest.mark.parametrize(
    ("name", "profile"), [key for key in GRIDS if key[0] not in SEVERAL_KINDS]
)


def comparisons(specs):
    """Groups of specs that differ in contestant and seed only: what a figure compares."""
    groups = defaultdict(list)
    for s in specs:
        # Variants of one mixer are compared at the rate of each, mixers at every rate.
        own_rates = "variant" in s or (s["experiment"] in SEED_0_TUNED and s["profile"] == "laptop")
        lr = None if own_rates else s["lr"]
        groups[str((s["model"]["d_model"], lr, s["train"], s.get("direction")))].append(s)
    return groups.values()


def contestant(spec):
    """The mixer, or where one mixer has several variants, which of them."""
    return spec.get("variant", spec["mixer"])


@each
def test_no_grid_looks_like_several(name, profile):
    """Or its own results would be refused, with the factors it names and with those that are guessed."""
    check_uniform(GRIDS[name, profile])
    check_uniform(GRIDS[name, profile], get_experiment(name).factors)


@each_of_one_kind
def test_every_mixer_has_the_same_seeds_and_beyond_smoke_there_are_three(name, profile):
    specs = GRIDS[name, profile]
    mixers, everybody = set(get_experiment(name).mixers), {contestant(s) for s in specs}
    for group in comparisons(specs):
        contestants = everybody
        if name == "synthetic_ablation" and group[0]["task"] != "copy":
            # Blanks, on which energy can be penalised, are in copy alone.
            contestants = {v for v in everybody if FACTORS[v][0] != "A4"}
        if name == "holographic_ablation":  # some are asked for recall alone
            contestants = set(PARTS_OF[group[0]["task"]])
            mixers = {PARTS[v][0] for v in contestants}
        assert {s["mixer"] for s in group} == mixers
        unique = set if name in MORE_RATES else list
        seeds = {c: sorted(unique([s["seed"] for s in group if contestant(s) == c])) for c in contestants}
        rates = {c: sorted((s["seed"], s["lr"]) for s in group if contestant(s) == c) for c in contestants}
        assert all(len(found) == len(set(found)) for found in rates.values())
        assert {contestant(s) for s in group} == contestants
        # Those whose outcome is the question may have further seeds, equally many.
        more = FURTHER_SEEDS.get((name, specs[0]["profile"]), ())
        assert len({tuple(x) for c, x in seeds.items() if c not in more}) == 1
        first = next(x for c, x in seeds.items() if c not in more)
        further = {tuple(seeds[c]) for c in more}
        assert len(further) <= 1 and all(set(x) > set(first) for x in further)
        several = "variant" in group[0] or (name in SEED_0_TUNED)
        # Nothing is concluded from `smoke`, and two seeds choose what others test.
        fewest = 2 if profile == "smoke" or name in CHOICES else 3
        assert len(set(first)) >= fewest and (several or len(first) == len(set(first)))


@each_of_one_kind
def test_compared_runs_differ_in_mixer_and_seed_only(name, profile):
    for group in comparisons(GRIDS[name, profile]):
        varied = ("variant", "lr", "energy_penalty", "auxiliary") if "variant" in group[0] else ()
        chosen = ("lr",) if profile == "laptop" and name in SEED_0_TUNED else ()
        own = ("mixer", "seed", "model", "trace", *varied, *chosen)
        rest = [{k: v for k, v in s.items() if k not in own} for s in group]
        assert all(r == rest[0] for r in rest)
        # Where one layer is compared with two, the MLP of one is as much wider.
        size = ("d_model", "target_parameters", *(() if name == "rotor_towers" else ("layers",)))
        assert len({tuple(s["model"][key] for key in size) for s in group}) == 1


@cache
def parameters(model, mixer, vocabulary):
    """Of a model that many specs have."""
    with torch.device("meta"):
        config = model_config({"model": json.loads(model), "mixer": mixer}, vocabulary)
        return config.build().parameter_count


@each_of_one_kind
def test_compared_models_have_equal_parameters(name, profile):
    for group in comparisons(GRIDS[name, profile]):
        vocabulary = task_from(group[0]["train"][0]).vocab_size
        each = {contestant(s): s for s in group}
        counts = {c: parameters(canonical(s["model"]), s["mixer"], vocabulary) for c, s in each.items()}
        # In the tiny models of `smoke` one channel of the MLP is more than 1 % of everything.
        bound = 1.021 if profile == "smoke" else 1.01
        assert max(counts.values()) <= bound * min(counts.values()), counts


@each
def test_every_run_is_storable_and_its_own(name, profile):
    specs = GRIDS[name, profile]
    for s in specs:
        check_spec(s)
        assert (s["experiment"], s["profile"]) == (name, profile)
    assert len({spec_hash(s) for s in specs}) == len({label(s) for s in specs}) == len(specs)


def test_no_two_grids_share_a_run():
    specs = [s for grid in GRIDS.values() for s in grid]
    assert len({spec_hash(s) for s in specs}) == len(specs)


@pytest.mark.parametrize("name", TRAINED)
def test_a_grid_is_the_same_each_time(name):
    assert protocol(name).grid("smoke") == GRIDS[name, "smoke"]


@each
def test_tasks_can_be_built_and_measured(name, profile):
    for s in GRIDS[name, profile]:
        tasks = [task_from(t) for t in (*s["train"], *s["evaluate"])]
        assert len({t.vocab_size for t in tasks}) == 1
        assert all(e["examples"] % min(e["batch_size"], e["examples"]) == 0 for e in s["evaluate"])
        # One row a condition: no two evaluations may land in the same place.
        places = [(e["split"], str(task_from(e).conditions())) for e in s["evaluate"]]
        assert len(set(places)) == len(places)
        if "trace" in s:
            assert task_from(s["trace"]).vocab_size == tasks[0].vocab_size and protocol(name).trace
        assert 0 < s["warmup"] < s["steps"]
        assert s["precision"] == ("bf16" if profile == "full" else "fp32")


@each
def test_a_spec_says_what_runs(name, profile):
    """No key of a task's entry is dropped on the way to the task, evaluation settings aside."""
    for s in GRIDS[name, profile]:
        for entry in [*s["train"], *s["evaluate"], *([s["trace"]] if "trace" in s else [])]:
            aside = {"task", "split", "examples", "batch_size"} if "split" in entry else {"task"}
            knobs = task_from(entry).knobs()
            assert {k: knobs[k] for k in entry if k not in aside} == {
                k: v for k, v in entry.items() if k not in aside
            }


@each_of_one_kind
def test_rates_are_chosen_on_what_was_trained_and_judged_on_test(name, profile):
    # Rotors are chosen by what they do beyond their training too.
    choice, beyond = name in CHOICES, name in ("rotor_starts", "rotor_towers")
    for s in GRIDS[name, profile]:
        validation = [e for e in s["evaluate"] if e["split"] == "validation"]
        test = [e for e in s["evaluate"] if e["split"] == "test"]
        assert validation and bool(test) != choice and len(validation) + len(test) == len(s["evaluate"])
        trained = [task_from(t) for t in s["train"]]
        if name != "options":  # judged on validation as others are on test, beyond training too
            assert sum(task_from(e) not in trained for e in validation) == beyond
    one_rate = len({s["lr"] for s in GRIDS[name, profile]}) == 1 or name == "synthetic_gradient"
    assert get_experiment(name).criterion or one_rate


@pytest.mark.parametrize("name", ["copy", "recall"])
def test_validation_and_test_examples_differ(name):
    spec = GRIDS[name, "smoke"][0]
    for entry in spec["evaluate"]:
        task = task_from(entry)
        drawn = [task.batch(split, 0, 16, 0).inputs for split in ("train", "validation", "test")]
        assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_the_first_runs_make_a_whole_comparison():
    """Stopped early, a grid leaves one seed of all mixers rather than all seeds of one."""
    for name in TRAINED:
        specs = GRIDS[name, "laptop"]
        seed = specs[0]["seed"]
        first = list(itertools.takewhile(lambda s, seed=seed: s["seed"] == seed, specs))
        if name == "bytes":  # there the corpus that every machine has comes first
            first = [s for s in specs if s["train"] == specs[0]["train"]]
            assert specs[: len(first)] == first
        assert {s["mixer"] for s in first} == set(get_experiment(name).mixers), name
        if name not in ("bytes", "lra_listops", "lra_text", "pg19"):  # directions and parts come one by one
            assert len(first) == sum(s["seed"] == seed for s in specs), name


def test_models_of_a_seed_are_equal_and_of_others_differ():
    spec = GRIDS["copy", "smoke"][0]

    def weights(seed):
        before = torch.get_rng_state()
        model = build_model(spec | {"seed": seed}, task_from(spec["train"][0]))
        assert torch.equal(torch.get_rng_state(), before)
        return torch.cat([p.flatten() for p in model.parameters()])

    one = weights(0)
    torch.manual_seed(123)
    assert torch.equal(weights(0), one)
    assert not torch.equal(weights(1), one)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(HmlcoreError, match=r"unknown experiment 'chess'; known: bakeoff, .*pg19, physics"):
        get_experiment("chess")
    with pytest.raises(HmlcoreError, match="unknown profile 'huge'; known: full, laptop, smoke"):
        check_profile("huge")


def test_only_an_entry_with_a_split_has_evaluation_settings():
    """Dropped without a word, a setting in a training task's entry would make the spec say what did not run."""
    entry = {"task": "copy", "payload": 2, "delay": 1}
    assert task_from(entry | {"split": "test", "examples": 8, "batch_size": 4}) == task_from(entry)
    with pytest.raises(HmlcoreError, match="unknown knob of task 'copy' 'examples'"):
        task_from(entry | {"examples": 8})
