"""The grids as they stand: complete, fair and buildable, before anything is run."""

import itertools
from collections import defaultdict

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.experiments import EXPERIMENTS, PROFILES, check_profile, get_experiment
from hmlcore.experiments.bakeoff import VARIANTS, variant_arguments
from hmlcore.experiments.base import DIRECTIONS, build_model, model_config, task_from
from hmlcore.experiments.grid import label
from hmlcore.experiments.synthetic import HEADLINE
from hmlcore.experiments.synthetic_ablation import FACTORS
from hmlcore.experiments.synthetic_gradient import VARIANTS as DAMPING
from hmlcore.layers import build_mixer
from hmlcore.models import Backbone
from hmlcore.results import spec_hash
from hmlcore.results.spec import check_spec
from hmlcore.results.tuning import CRITERION

# At `laptop` these try all rates with the first seed, and run the others at the better one.
SEED_0_TUNED = ("synthetic_needle", "synthetic_needle_text", "synthetic_tasks", "synthetic_recall", "lra_text")
# What is timed side by side is not trained, and has tests of its own.
TRAINED = {name: e for name, e in EXPERIMENTS.items() if e.together is None}
GRIDS = {(name, profile): e.grid(profile) for name, e in TRAINED.items() for profile in PROFILES}
each = pytest.mark.parametrize(("name", "profile"), list(GRIDS))
# The books' grid has parts of several kinds (tuning, all mixers, the headline pair) and tests of its own.
each_of_one_kind = pytest.mark.parametrize(("name", "profile"), [key for key in GRIDS if key[0] != "pg19"])


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


@each_of_one_kind
def test_every_mixer_has_the_same_seeds_and_there_are_three(name, profile):
    specs = GRIDS[name, profile]
    mixers = set(EXPERIMENTS[name].mixers)
    for group in comparisons(specs):
        contestants = {
            "bakeoff": set(VARIANTS),
            "synthetic_gradient": mixers | set(DAMPING),
            # Blanks, on which energy can be penalised, are in copy alone.
            "synthetic_ablation": {
                v for v, (factor, _) in FACTORS.items() if factor != "A4" or group[0].get("task") == "copy"
            },
        }.get(name, mixers)
        assert {s["mixer"] for s in group} == mixers
        seeds = {c: sorted(s["seed"] for s in group if contestant(s) == c) for c in contestants}
        rates = {c: sorted((s["seed"], s["lr"]) for s in group if contestant(s) == c) for c in contestants}
        assert all(len(found) == len(set(found)) for found in rates.values())
        assert {contestant(s) for s in group} == contestants
        # The two of the headline may have further seeds, equally many.
        more = HEADLINE if name == "synthetic_needle" and specs[0]["profile"] == "laptop" else ()
        assert len({tuple(x) for c, x in seeds.items() if c not in more}) == 1
        assert len({tuple(seeds[c]) for c in more}) <= 1 and all(max(seeds[c]) == 4 for c in more)
        first = next(iter(seeds.values()))
        several = "variant" in group[0] or (name in SEED_0_TUNED)
        assert len(set(first)) >= 3 and (several or len(first) == len(set(first)))


@each_of_one_kind
def test_compared_runs_differ_in_mixer_and_seed_only(name, profile):
    for group in comparisons(GRIDS[name, profile]):
        varied = ("variant", "lr", "energy_penalty") if "variant" in group[0] else ()
        chosen = ("lr",) if profile == "laptop" and name in SEED_0_TUNED else ()
        own = ("mixer", "seed", "model", "trace", *varied, *chosen)
        rest = [{k: v for k, v in s.items() if k not in own} for s in group]
        assert all(r == rest[0] for r in rest)
        sizes = {(s["model"]["d_model"], s["model"]["layers"], s["model"]["target_parameters"]) for s in group}
        assert len(sizes) == 1


@each_of_one_kind
def test_compared_models_have_equal_parameters(name, profile):
    for group in comparisons(GRIDS[name, profile]):
        counts = {}
        for s in {contestant(s): s for s in group}.values():
            with torch.device("meta"):
                counts[contestant(s)] = Backbone(
                    model_config(s, task_from(s["train"][0]).vocab_size)
                ).parameter_count
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
    assert EXPERIMENTS[name].grid("smoke") == GRIDS[name, "smoke"]


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
            assert task_from(s["trace"]).vocab_size == tasks[0].vocab_size and EXPERIMENTS[name].trace
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
    for s in GRIDS[name, profile]:
        validation = [e for e in s["evaluate"] if e["split"] == "validation"]
        test = [e for e in s["evaluate"] if e["split"] == "test"]
        assert validation and test and len(validation) + len(test) == len(s["evaluate"])
        trained = [task_from(t) for t in s["train"]]
        assert all(task_from(e) in trained for e in validation)
    one_rate = len({s["lr"] for s in GRIDS[name, profile]}) == 1 or name == "synthetic_gradient"
    assert name in CRITERION or one_rate


@pytest.mark.parametrize("name", ["copy", "recall"])
def test_validation_and_test_examples_differ(name):
    spec = GRIDS[name, "smoke"][0]
    for entry in spec["evaluate"]:
        task = task_from(entry)
        drawn = [task.batch(split, 0, 16, 0).inputs for split in ("train", "validation", "test")]
        assert not any(torch.equal(a, b) for a, b in itertools.combinations(drawn, 2))


def test_the_first_runs_make_a_whole_comparison():
    """Stopped early, a grid leaves seed 0 of all mixers rather than all seeds of one."""
    for name in TRAINED:
        specs = GRIDS[name, "laptop"]
        first = list(itertools.takewhile(lambda s: s["seed"] == 0, specs))
        if name == "bytes":  # there the corpus that every machine has comes first
            first = [s for s in specs if s["train"] == specs[0]["train"]]
            assert specs[: len(first)] == first
        assert {s["mixer"] for s in first} == set(EXPERIMENTS[name].mixers), name
        if name not in ("bytes", "lra_listops", "lra_text", "pg19"):  # directions and parts come one by one
            assert len(first) == sum(s["seed"] == 0 for s in specs), name


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


def test_matrix_memories_hold_equal_state():
    """Of the comparison of all mixers: HML, Mamba-2, RetNet and both DeltaNets, the short convolution aside."""
    for profile in PROFILES:
        specs = {s["mixer"]: s for s in GRIDS["lra_listops", profile]}
        floats = {}
        for mixer in ("hml", "mamba2", "retnet", "gated_deltanet", "momentum_deltanet"):
            with torch.device("meta"):
                model = Backbone(model_config(specs[mixer], 16))
            state = model.init_state(1)[0]
            floats[mixer] = state.memory.numel()
        assert len(set(floats.values())) == 1, floats


def test_directions_are_both_there_and_told_apart():
    for profile in PROFILES:
        specs = GRIDS["lra_listops", profile]
        assert {s["direction"] for s in specs} == set(DIRECTIONS)
        task = task_from(specs[0]["train"][0])
        for s in (specs[0], specs[-1]):
            assert build_model(s, task).bidirectional == (s["direction"] == "bidirectional")


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(
        HmlcoreError,
        match=r"unknown experiment 'chess'; known: bakeoff, bytes, copy, lra_listops, .*pg19, physics",
    ):
        get_experiment("chess")
    with pytest.raises(HmlcoreError, match="unknown profile 'huge'; known: full, laptop, smoke"):
        check_profile("huge")


def test_only_an_entry_with_a_split_has_evaluation_settings():
    """Dropped without a word, a setting in a training task's entry would make the spec say what did not run."""
    entry = {"task": "copy", "payload": 2, "delay": 1}
    assert task_from(entry | {"split": "test", "examples": 8, "batch_size": 4}) == task_from(entry)
    with pytest.raises(HmlcoreError, match="unknown knob of task 'copy' 'examples'"):
        task_from(entry | {"examples": 8})


@pytest.mark.parametrize("profile", PROFILES)
def test_the_bakeoff_has_equal_bytes_of_memory_and_every_variant_its_own_dynamics(profile):
    floats, built = defaultdict(set), {}
    for s in GRIDS["bakeoff", profile]:
        if s["seed"] or (s["task"], s["variant"]) in built:
            continue
        with torch.device("meta"):
            mixer = build_mixer("hml", s["model"]["d_model"], **s["model"]["mixer_args"])
        built[s["task"], s["variant"]] = mixer
        floats[s["task"]].add(mixer.init_state(1).memory.numel())
        turning = mixer.rotation.heads if mixer.rotation is not None else 0
        assert (turning * 4 == mixer.num_heads or mixer.num_heads == 2) or not turning
        assert bool(turning) == ("rotation" in s["variant"])
        assert s["variant"].startswith(mixer.dynamics)
    assert len(floats) == 5 and all(len(found) == 1 for found in floats.values())
    assert len({str(variant_arguments(v, 4, 8)) for v in VARIANTS}) == len(VARIANTS) == 9


def test_the_bakeoff_tests_beyond_the_lengths_of_training_where_it_says_so():
    for s in GRIDS["bakeoff", "laptop"]:
        trained = max(task_from(t).length for t in s["train"])
        tested = max(task_from(e).length for e in s["evaluate"] if e["split"] == "test")
        assert (tested >= 4 * trained) == (s["task"] in ("needle", "modular sums", "text"))
