"""What the repository publishes: the committed results are whole, clean, and exactly what the grids ask for."""

import hashlib
import inspect
import json
from collections import defaultdict
from functools import cache

import pytest
from awaited import AWAITED

from hmlcore import paths
from hmlcore.evaluation.op_candidates import CANDIDATES
from hmlcore.layers.hml import HML
from hmlcore.results import Store, spec_hash
from hmlcore.results.tuning import tuned
from hmlcore.runner.tune import tune, tuned_rates
from hmlcore.runner.verify import keys_of
from hmlcore.studies import experiments, folder_of, get_experiment, protocol, studies
from hmlcore.studies.export import claims, dated, verdicts
from hmlcore.studies.ground.figures import standings
from hmlcore.studies.kit import ground
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.comparison import HEADLINE, read_rates
from hmlcore.studies.kit.standing import BEFORE, EXPLORATORY
from hmlcore.studies.kit.study import field_values
from hmlcore.studies.kit.tuning import Tuned, read_tuned
from hmlcore.studies.options.grid import arguments
from hmlcore.studies.options.standings import default
from hmlcore.studies.options.standings import standings as options_standings
from hmlcore.studies.rotors.claims import COUNTERS
from hmlcore.studies.rotors.grid import CHOSEN
from hmlcore.studies.rotors.memories import ROTORS
from hmlcore.studies.speed import OPS

STORE = Store(paths.root() / "results")
PUBLISHED = [name for name in experiments() if name not in AWAITED]
BASE_RATES = {name: {3e-3, 1e-2, 3e-2} for name in ("rotor_starts", "copy", "recall")}
# Where each runs at the one rate that it chose on another experiment's task.
ELSEWHERE = (
    "synthetic_gradient", "rotor_counting", "rotor_counting_again", "holographic_tasks", "holographic_ablation",
)  # fmt: skip
# One seed each: what is shown and not compared, and what chooses for others.
ONE_SEED = ("explorer-models", "holographic_portrait", "holographic_tuning", "portraits", "orbit")
TRAINED = [name for name in PUBLISHED if get_experiment(name).trained]
FURTHER_SEEDS = {"synthetic_needle": set(HEADLINE), "rotor_counting": {"hml"}}


@cache
def stored(name):
    return get_experiment(name).load(STORE, "laptop")


@cache
def grid(name):
    return protocol(name).grid("laptop")


@pytest.mark.parametrize("name", AWAITED)
def test_what_is_awaited_is_not_there(name):
    assert not STORE.has_any("laptop", name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_laptop_results_are_the_grid(name):
    """No run is missing, and none is left over from an earlier version of the experiment."""
    wanted = {spec_hash(spec) for spec in grid(name)}
    found = set(stored(name).hashes)
    assert not wanted - found, f"missing: hml run {name} --profile laptop"
    assert not found - wanted, "stale runs: drop what no grid asks for"


@pytest.mark.parametrize("name", PUBLISHED)
def test_laptop_results_come_from_committed_code(name):
    frame = stored(name).frame
    assert not frame["dirty"].any()
    assert (frame["commit"].str.len() == 40).all()
    assert frame["device"].nunique() == 1


# The books have tests of their own.
@pytest.mark.parametrize("name", [name for name in TRAINED if name not in ("pg19", *ONE_SEED)])
def test_mixers_face_equal_conditions(name):
    """Equal parameters (1%), equal learning rates tried, the same three seeds or more."""
    runs = stored(name).runs()
    for _, group in runs.groupby([c for c in ("d_model", "task") if c in runs]):
        assert group["parameters"].max() <= 1.02 * group["parameters"].min()
    directions = runs.get("direction", "causal")
    for _, group in runs.assign(direction=directions).groupby("direction"):
        assert set(group["mixer"]) == set(get_experiment(name).mixers)
        _check_equal_tuning(group, name)


def _check_equal_tuning(runs, name):
    # Where one mixer has several variants, each of them on each of its tasks.
    each = [c for c in ("mixer", "variant", "task") if c in runs]
    per_mixer = runs.groupby(each).agg({"lr": set, "seed": set})
    if name in BASE_RATES:  # some tried another, where an edge won
        assert all(lrs >= BASE_RATES[name] for lrs in per_mixer["lr"])
    elif name not in ELSEWHERE:
        assert all(lrs == per_mixer["lr"].iloc[0] for lrs in per_mixer["lr"])
    else:
        assert all(len(lrs) == 1 for lrs in per_mixer["lr"])
    fewest = min(per_mixer["seed"], key=len)
    assert len(fewest) >= (2 if name in ("ground", "rotor_starts") else 3)  # those choose, on validation
    # Some have further seeds, equally many, where that was decided before.
    further = per_mixer[per_mixer["seed"].map(lambda seeds: seeds != fewest)]
    assert set(further.index.get_level_values("mixer")) == FURTHER_SEEDS.get(name, set())
    assert all(seeds == further["seed"].iloc[0] > fewest for seeds in further["seed"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_value_can_be_told_from_the_others_of_its_run(name):
    """Or `hml verify` could not pair what a run measures again with what is stored."""
    rows = stored(name).frame
    rows = rows[rows["split"] != "train"]
    assert not rows.duplicated([key for key in keys_of(name) if key in rows]).any()


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_a_study_says_tells_its_runs_and_rows_apart_is_there(name):
    """Its factors in every spec, its conditions in some row."""
    experiment, frame = get_experiment(name), stored(name).frame
    for spec in grid(name):
        assert all(field_values(spec, factor) for factor in experiment.factors)
    absent = [c for c in experiment.conditions if c not in frame or frame[c].isna().all()]
    assert absent == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_mixers_of_an_experiment_are_those_of_its_runs(name):
    found, wanted = set(stored(name).mixers), set(get_experiment(name).mixers)
    assert found == wanted if name != "op_speed" else found < wanted  # some ops need a GPU


def test_the_ops_that_are_timed_are_those_that_can_be():
    assert tuple(CANDIDATES) == OPS


TUNING_SEEDS = {"rotor_starts": (0, 1), "options": (20,)}
"""Seeds that tried all rates, where they are not the first alone."""


def by_validation(name):
    """Case → mixer → the rate that validation chose by the mean over the seeds that tune, of several."""
    experiment, frame = get_experiment(name), stored(name).frame
    metric, mode = experiment.criterion
    rows = frame[(frame["metric"] == metric) & (frame["split"] == "validation")]
    rows = rows[rows["seed"].isin(TUNING_SEEDS.get(name, (0,)))]
    found = {}
    for (*case, mixer), part in rows.groupby([*experiment.factors, "mixer"]):
        scores = part.groupby("lr")["value"].agg(lambda values: values.mean(skipna=False))
        scores = (scores if mode == "min" else -scores).fillna(float("inf"))
        if len(scores) > 1:
            found.setdefault(", ".join(map(str, case)), {})[mixer] = scores.idxmin()
    return found


def plain(rates):
    """Case → mixer → rate, of what tuning found."""
    return {case: {mixer: tuned.lr for mixer, tuned in mixers.items()} for case, mixers in rates.items()}


RATES = [
    (study, profile, name)
    for study in studies()
    for profile, names in read_rates(folder_of(studies()[study].experiments[0].name)).items()
    for name in names
    if name not in (*AWAITED, *ELSEWHERE)  # tuned while the rest of their runs is being made, or by others
]


@pytest.mark.parametrize(("study", "profile", "name"), RATES)
def test_rates_are_those_that_validation_chose_with_the_seeds_that_tune(study, profile, name):
    """None is missing or left over, and `hml tune` chooses the same; of configurations the best one alone."""
    assert profile == "laptop" and name in [e.name for e in studies()[study].experiments]
    rates, found = read_rates(folder_of(name))[profile][name], tuned_rates(STORE, profile, name)
    chosen = by_validation(name)
    assert rates == plain(found) and (get_experiment(name).among or rates == chosen)
    assert all(chosen[case][mixer] == lr for case, mixers in rates.items() for mixer, lr in mixers.items())
    # With those seeds only: no other has tried all rates.
    seeds = {tuned.seeds for mixers in found.values() for tuned in mixers.values()}
    assert seeds == {TUNING_SEEDS.get(name, (0,))}
    written = read_tuned(folder_of(name))[profile][name]
    for case, mixers in written.items():
        assert all(tuned in (found[case][mixer], Tuned(tuned.lr)) for mixer, tuned in mixers.items())


@pytest.mark.parametrize("name", TRAINED)
def test_whose_later_seeds_run_at_one_rate_of_several_has_its_rates_written_down(name):
    tried = defaultdict(lambda: defaultdict(set))
    for s in grid(name):
        case = (s["mixer"], *(str(field_values(s, factor)) for factor in get_experiment(name).factors))
        tried[case][s["seed"]].add(s["lr"])
    later = any(rates < by_seed.get(0, set()) for by_seed in tried.values() for rates in by_seed.values())
    assert not later or name in [experiment for _, _, experiment in RATES]


def test_tuning_writes_what_the_repository_has(tmp_path, monkeypatch):
    """And leaves other experiments and profiles as they are."""
    name = "synthetic_needle_text"
    kept = {"full": {"other": {"case": {"hml": 0.5}}}, "laptop": {name: {"16": {"hml": 1.0}}}}
    monkeypatch.setattr("hmlcore.runner.tune.folder_of", lambda _: tmp_path)
    (tmp_path / "rates.json").write_text(json.dumps(kept))
    written = tune(STORE, "laptop", name)
    assert written.path == tmp_path / "rates.json"
    # Of two rates the best is always at the edge; this grid goes no further.
    assert len(written.edges) == 11 and all("its grid tries none beyond" in line for line in written.edges)
    own = {name: read_rates(folder_of(name))["laptop"][name]}
    assert read_rates(tmp_path) == {"laptop": own, "full": kept["full"]}


def test_claims_are_decided_from_the_store():
    table = verdicts(*(stored(name) for name in PUBLISHED))
    assert len(table) == sum(claim.experiment in PUBLISHED for claim in claims())
    assert set(table["verdict"].str.split(" (", regex=False).str[0]) <= {CONFIRMED, REFUTED, UNDECIDED}
    assert table["evidence"].str.contains(r"\d").all()


def test_every_claim_says_whether_its_rule_came_before_its_runs():
    """Computed from the history, and the same as what `hml figures` has written."""
    decided = [
        (stored(claim.experiment), claim.decide(stored(claim.experiment)))
        for claim in claims()
        if claim.experiment in PUBLISHED
    ]
    rules = {found.name: rule for (_, found), rule in zip(decided, dated(decided, STORE), strict=True)}
    assert {rule.status for rule in rules.values()} <= {BEFORE, EXPLORATORY}
    written = json.loads((STORE.root / "laptop" / "claims.json").read_bytes())["claims"]
    kept = {entry["name"]: (entry["rule"]["status"], entry["rule"]["digest"]) for entry in written}
    assert kept == {name: (rule.status, rule.digest) for name, rule in rules.items()}, "renew it: hml figures"


# Browsers differ by pixels, so no test draws it again: SHA-256 of the figure that it shows, and its own.
DRAWN = {
    "recall_frontier.svg": (
        "7392219dabe054eb73c1f449d5085523bdf829b89bb5d8396a3f7acd34cf0439",
        "588c16ab93de4954cf800cb6d62cf67abef64b6d460f8d6ecbeb2f43853475f9",
    ),
}


def test_committed_images_are_those_that_were_drawn_from_the_committed_figures():
    folder = STORE.root / "laptop" / "figures"
    found = {
        name: tuple(
            hashlib.sha256((folder / name).with_suffix(kind).read_bytes()).hexdigest()
            for kind in (".json", ".svg")
        )
        for name in DRAWN
    }
    assert found == DRAWN, "look at the image that `hml figures` draws, then write its hashes here"
    kept = (STORE.root.parent / ".gitignore").read_text("utf-8")
    assert [line for line in kept.splitlines() if line.startswith("!results")] == [
        f"!results/laptop/figures/{name}" for name in DRAWN
    ]


def test_the_default_is_the_one_that_the_options_chose():
    chosen = default(options_standings(get_experiment("options").load(STORE, "laptop")))
    mixer, given = arguments(chosen, d_model=32, heads=4)
    assert mixer == "hml" and given == {"num_heads": 8, "head_dim": 8} | ground.norm_ground() | ground.DEFAULT
    own = {name: p.default for name, p in inspect.signature(HML).parameters.items()}
    assert {name: own[name] for name in ground.DEFAULT} == ground.DEFAULT, "of `HML()` itself"


def test_the_rotors_are_those_that_tuning_chose():
    """The least bits after snapping, the mean over both tasks; of two rivals that turn the better one."""
    best = tuned(get_experiment("rotor_starts").load(STORE, "laptop"))
    means = best.metric("bits_snapped", split="validation").groupby(["variant", "task"])["value"].mean()
    means = means.groupby("variant").mean()
    assert means[list(ROTORS)].idxmin() == CHOSEN and ROTORS[CHOSEN] == ground.ROTORS
    turning = [name for name in means.index if name.startswith("Mamba-2")]
    assert means[turning].idxmin() in COUNTERS and len(turning) == 2


def test_the_ground_of_comparisons_is_what_its_study_decided():
    """Not typed by hand: the constants are the first pair of the rule's standings."""
    results = get_experiment("ground").load(STORE, "laptop")
    assert standings(results).index[0] == (f"{ground.WIDTH:g}", ground.NORM)
