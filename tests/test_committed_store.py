"""What the repository publishes: the committed results are whole, clean, and exactly what the grids ask for."""

import inspect

import pytest
from awaited import AWAITED

from hmlcore import paths
from hmlcore.evaluation.bakeoff_claims import winner
from hmlcore.evaluation.claims import CLAIMS, CONFIRMED, REFUTED, UNDECIDED, claim_table
from hmlcore.experiments import EXPERIMENTS
from hmlcore.experiments.bakeoff import VARIANTS, chosen_rate
from hmlcore.experiments.synthetic import HEADLINE
from hmlcore.experiments.verify import _KEYS, _values
from hmlcore.layers.hml import FAMILY, HML
from hmlcore.results import Store, spec_hash

STORE = Store(paths.root() / "results")
PUBLISHED = [name for name in EXPERIMENTS if name not in AWAITED]
TRAINED = [name for name in PUBLISHED if EXPERIMENTS[name].together is None]


@pytest.mark.parametrize("name", AWAITED)
def test_what_is_awaited_is_not_there(name):
    assert not STORE.has_any("laptop", name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_laptop_results_are_the_grid(name):
    """No run is missing, and none is left over from an earlier version of the experiment."""
    wanted = {spec_hash(spec) for spec in EXPERIMENTS[name].grid("laptop")}
    found = set(STORE.load("laptop", name).hashes)
    assert not wanted - found, f"missing: hml run {name} --profile laptop"
    assert not found - wanted, "stale files: delete what no grid asks for"


@pytest.mark.parametrize("name", PUBLISHED)
def test_laptop_results_come_from_committed_code(name):
    frame = STORE.load("laptop", name).frame
    assert not frame["dirty"].any()
    assert (frame["commit"].str.len() == 40).all()
    assert frame["device"].nunique() == 1


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "pg19"])
def test_mixers_face_equal_conditions(name):
    """Equal parameters (1%), equal learning rates tried, the same three seeds or more."""
    runs = STORE.load("laptop", name).runs()
    for _, group in runs.groupby([c for c in ("d_model", "task") if c in runs]):
        assert group["parameters"].max() <= 1.02 * group["parameters"].min()
    directions = runs.get("direction", "causal")
    for _, group in runs.assign(direction=directions).groupby("direction"):
        assert set(group["mixer"]) == set(EXPERIMENTS[name].mixers)
        _check_equal_tuning(group, name)


def _check_equal_tuning(runs, name):
    # Where one mixer has several variants, each of them on each of its tasks.
    each = [c for c in ("mixer", "variant", "task") if c in runs]
    per_mixer = runs.groupby(each).agg({"lr": set, "seed": set})
    if name != "synthetic_gradient":
        assert all(lrs == per_mixer["lr"].iloc[0] for lrs in per_mixer["lr"])
    else:  # each at the one rate that it chose on another experiment's task
        assert all(len(lrs) == 1 for lrs in per_mixer["lr"])
    fewest = min(per_mixer["seed"], key=len)
    assert len(fewest) >= 3
    # The two of the headline have further seeds, equally many, where that was decided before.
    further = per_mixer[per_mixer["seed"].map(lambda seeds: seeds != fewest)]
    assert set(further.index.get_level_values("mixer")) == (
        set(HEADLINE) if name == "synthetic_needle" else set()
    )
    assert all(seeds == further["seed"].iloc[0] > fewest for seeds in further["seed"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_value_can_be_told_from_the_others_of_its_run(name):
    """Or `hml verify` could not pair what a run measures again with what is stored."""
    rows = _values(STORE, "laptop", name)
    keys = ["spec_hash", *(key for key in _KEYS if key in rows)]
    if EXPERIMENTS[name].together is None or EXPERIMENTS[name].repeatable:
        assert not rows.duplicated(keys).any()


def test_books_are_met_under_equal_conditions():
    """All mixers tried both rates for as long, and train at the one that these trials chose."""
    results = STORE.load("laptop", "pg19")
    runs = results.runs()
    assert runs["parameters"].max() <= 1.02 * runs["parameters"].min()
    trials = results.metric("bits_per_token", split="validation", variant="tuning")
    tried = trials.groupby("mixer")["lr"].apply(sorted)
    assert set(tried.index) == set(EXPERIMENTS["pg19"].mixers)
    assert all(rates == tried.iloc[0] and len(rates) == 2 for rates in tried)
    chosen = trials.sort_values(["value", "lr"]).groupby("mixer")["lr"].first()
    trained = runs[runs["variant"] != "tuning"]
    assert (trained["lr"] == trained["mixer"].map(chosen)).all()
    read = trained.groupby(["task", "variant"])["steps"].nunique()
    assert (read == 1).all()


def test_reviews_are_read_at_the_rates_that_the_first_seed_chose():
    runs = STORE.load("laptop", "lra_text").where(direction="causal")
    first = runs.where(seed=0).best_lr("accuracy", "max").runs().set_index("mixer")["lr"]
    later = runs.frame[runs.frame["seed"] > 0].groupby("mixer")["lr"].unique()
    assert all(list(rates) == [first[mixer]] for mixer, rates in later.items())


def test_every_trained_run_of_the_portrait_has_its_trace():
    traced = {spec_hash(s) for s in EXPERIMENTS["bytes"].grid("laptop") if "trace" in s}
    assert traced and traced == set(STORE.trace("laptop", "bytes")["spec_hash"])


def test_claims_are_decided_from_the_store():
    table = claim_table({name: STORE.load("laptop", name) for name in PUBLISHED})
    assert len(table) == sum(claim.experiment in PUBLISHED for claim in CLAIMS)
    assert set(table["verdict"]) <= {CONFIRMED, REFUTED, UNDECIDED}
    assert table["evidence"].str.contains(r"\d").all()


def test_the_bakeoff_trained_at_the_rates_that_its_first_seed_chose():
    first = STORE.load("laptop", "bakeoff").where(seed=0)
    chosen = first.best_lr("bits_per_token", "min", by=["task", "variant"]).runs()
    rates = chosen.groupby(["task", "variant"])["lr"].first().to_dict()
    assert len(rates) == 45
    assert rates == {key: chosen_rate(*key) for key in rates}


def test_the_default_is_the_winner_of_the_bakeoff():
    best = winner(STORE.load("laptop", "bakeoff"))
    default = {k: p.default for k, p in inspect.signature(HML).parameters.items()}
    own = inspect.signature(FAMILY[default["dynamics"]]).parameters
    default |= {k: p.default for k, p in own.items() if k not in default}
    heads = default["num_heads"]
    wanted = {"dynamics": default["dynamics"], "rotation_heads": 0, "theta": "head"} | VARIANTS[best]
    wanted["rotation_heads"] = heads // 4 if wanted["rotation_heads"] else 0
    assert {k: default[k] for k in wanted} == wanted
