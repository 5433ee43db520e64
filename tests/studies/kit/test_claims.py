"""What claims are made of: tuning first, conditions, verdicts, tolerances and the words they share."""

import pandas as pd
import pytest
from made_up_claims import one_run_a_mixer
from made_up_results import loaded, recall_run

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.results.tuning import tuned
from hmlcore.studies import experiments, part, studies
from hmlcore.studies.export import claims
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    FAR,
    NEAR,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    against,
    all_or_none,
    bounded,
    by_seed,
    claim_table,
    compared,
    kept,
    listed,
    means,
    times,
    tolerance,
    trained_on,
)
from hmlcore.studies.kit.standing import BEFORE, EXPLORATORY, UNKNOWN, Standing
from hmlcore.studies.kit.study import EVERY_RUN


def seen(results):
    """A rule that confirms, and says what it was shown."""
    return CONFIRMED, f"{', '.join(results.mixers)} at {sorted(set(results.frame['lr']))}"


@pytest.fixture
def recall(tmp_path):
    """Recall of HML and the GRU at two rates, of which validation prefers .003."""
    store = Store(tmp_path)
    for mixer in ("hml", "gru"):
        for lr in (0.003, 0.01):
            store.write(recall_run(mixer, 0, lr=lr))
    return loaded(store, "recall")


def test_a_claim_is_decided_at_the_chosen_rates_on_the_rows_it_names(recall):
    chosen = tuned(recall)
    every = Claim("All.", "recall", seen).decide(recall)
    assert every == ("recall.seen", "All.", CONFIRMED, "gru, hml at [0.003]", chosen.hashes)
    own = Claim("HML.", "recall", seen, where={"mixer": "hml"}).decide(recall)
    assert own.evidence == "hml at [0.003]" and own.runs == chosen.where(mixer="hml").hashes
    assert len(own.runs) == 1 and len(every.runs) == 2 and len(recall.hashes) == 4


def test_a_statement_may_depend_on_what_was_run(recall):
    """On all that was run, whatever the rule is shown."""
    claim = Claim(lambda specs: f"{len(specs)} runs.", "recall", seen, where={"mixer": "hml"}, called="other")
    assert claim.decide(recall).statement == claim.words(recall.specs()) == "4 runs."
    assert claim.name == "recall.other"
    assert Claim("Always.", "recall", seen).words([]) == "Always."


def lacking(results):
    return CONFIRMED, f"{means(results.metric('accuracy'))['linoss']}"


def empty(results):
    return CONFIRMED, str(max(results.frame["mixer"][:0]))


@pytest.mark.parametrize(
    "claim",
    [
        Claim("A mixer that was not run.", "recall", lacking),
        Claim("Nothing to compare.", "recall", empty),
        Claim(lambda specs: str(max([])), "recall", seen, called="worded"),
    ],
    ids=lambda claim: claim.name,
)
def test_results_that_do_not_suffice_are_refused_by_name(recall, claim):
    with pytest.raises(HmlcoreError, match=rf"do not suffice for the claim '{claim.name}'"):
        claim.decide(recall)


def test_conditions_that_no_row_meets_are_refused(recall):
    with pytest.raises(HmlcoreError, match="no results of 'recall' with mixer='lstm'"):
        Claim("LSTM.", "recall", seen, where={"mixer": "lstm"}).decide(recall)


def test_the_table_has_a_row_a_claim_in_the_order_of_results(recall):
    speed = one_run_a_mixer("speed", [], [{"mixer": "gru", "metric": "seconds_train", "value": 1.0}])
    known = [
        Claim("One.", "recall", seen), Claim("Two.", "speed", seen),
        Claim("Three.", "recall", seen, where={"mixer": "hml"}), Claim("Of something else.", "pg19", seen),
    ]  # fmt: skip
    since = [Standing(BEFORE, "a" * 40), Standing(EXPLORATORY), Standing(UNKNOWN)]

    def dated(decided):
        names = [(results.experiment, found.statement) for results, found in decided]
        assert names == [("speed", "Two."), ("recall", "One."), ("recall", "Three.")]
        return since

    table = claim_table([speed, recall], known, dated)
    assert list(table["claim"]) == ["Two.", "One.", "Three."]
    assert list(table["verdict"]) == [rule.beside(CONFIRMED) for rule in since]
    assert list(table["rule"]) == ["a" * 7, "", ""]
    assert list(table["runs"]) == [
        "1: hml show speed.seen", "2: hml show recall.seen", "1: hml show recall.seen",
    ]  # fmt: skip
    assert len(claim_table([], known, lambda decided: [])) == 0


def test_tolerance_is_a_fifth_of_the_smallest_effect():
    known = [
        Claim("a", "recall", seen, effects=(Effect("accuracy", 0.05), Effect("exact", 0.1))),
        Claim("b", "recall", seen, effects=(Effect("accuracy", 0.02),)),
        Claim("c", "recall", seen, effects=(Effect("bits_per_byte", 0.01, relative=True),)),
    ]
    assert tolerance(known, "accuracy", 0.9) == pytest.approx(0.004)
    assert tolerance(known, "accuracy", 90.0) == pytest.approx(0.004)  # what decides is absolute
    assert tolerance(known, "exact", 0.9) == pytest.approx(0.02)
    assert tolerance(known, "bits_per_byte", 2.0) == pytest.approx(0.004)
    assert tolerance(known, "bits_per_byte", -2.0) == pytest.approx(0.004)


def test_the_smaller_of_an_absolute_and_a_relative_effect_counts():
    effects = (Effect("loss", 0.1), Effect("loss", 0.01, relative=True))
    known = [Claim("d", "recall", seen, effects=effects)]
    assert tolerance(known, "loss", 1.0) == pytest.approx(0.002)
    assert tolerance(known, "loss", 100.0) == pytest.approx(0.02)


@pytest.mark.parametrize(("value", "scale"), [(0.0, 1), (0.5, 1), (-0.5, 1), (300.0, 300), (-300.0, 300)])
def test_what_no_claim_is_on_is_near_relative_to_large_values(value, scale):
    assert tolerance([], "perplexity", value) == pytest.approx(NEAR / 5 * scale)


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [
        (1.0, 0.9, CONFIRMED),
        (0.5, 0.45, CONFIRMED),
        (0.8, 0.9, CONFIRMED),
        (1.0, 0.89, UNDECIDED),
        (1.0, 0.5, UNDECIDED),
        (1.0, 0.49, REFUTED),
        (0.49, 0.49, UNDECIDED),  # too little to be kept
        (0.49, 0.0, UNDECIDED),
    ],
)
def test_kept(near, far, verdict):
    found, evidence = kept(near, far, "measured", "too little")
    assert found == verdict
    assert evidence == ("measured; too little" if near < 0.5 else "measured")


@pytest.mark.parametrize(
    ("within", "verdict"),
    [([True, True], CONFIRMED), ([True, False], UNDECIDED), ([False, False], REFUTED), ([True], CONFIRMED)],
)
def test_all_or_none(within, verdict):
    assert all_or_none(within) == verdict


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(0.5, CONFIRMED), (-NEAR, CONFIRMED), (-0.03, UNDECIDED), (-FAR, UNDECIDED), (-0.051, REFUTED)],
)
def test_at_least_as_good(gap, verdict):
    assert compared(gap) == verdict
    found, evidence = against({"hml": gap, "gru": 0.0, "lstm": -0.1, "mamba": 0.9}, ["gru", "lstm"])
    assert found == verdict and evidence == f"HML {gap:.3f}, gru 0.000: {gap:+.3f}"


def test_means_are_over_whatever_else_varies():
    rows = pd.DataFrame(
        [("hml", 0, 0.2), ("hml", 0, 0.4), ("hml", 1, 0.9), ("gru", 0, 0.1)], columns=["mixer", "seed", "value"]
    )
    assert means(rows) == pytest.approx({"hml": 0.5, "gru": 0.1})
    assert by_seed(rows, "hml") == pytest.approx({0: 0.3, 1: 0.9}) and by_seed(rows, "lstm") == {}


def test_bounded_memories_are_the_others_that_do_not_grow():
    assert bounded(["attention", "gru", "hml", "hyena", "mamba"]) == ["gru", "mamba"]


def test_words():
    assert listed({"hml": 0.5, "gru": 0.25}, "{:.0%}") == "hml 50%, gru 25%" and listed({}, "{}") == ""
    train = [{"task": "copy", "delay": delay} for delay in (0, 32)]
    specs = [
        {"train": train, "evaluate": [{"split": "test", "delay": 256}, {"split": "validation", "delay": 999}]},
        {"train": train[:1], "evaluate": [{"split": "test", "delay": 512}]},
    ]
    assert times(specs, "delay") == "16 times"
    results = one_run_a_mixer("copy", train, [{"mixer": "hml", "metric": "exact", "value": 1.0}])
    assert trained_on(results, "delay") == [0, 32]


def test_every_claim_is_of_its_study_and_named_once():
    found = claims()
    assert len({claim.name for claim in found}) == len(found)
    by_study = {name: getattr(part(name, "claims"), "CLAIMS", []) for name in studies()}
    assert [claim for own in by_study.values() for claim in own] == found
    for name, own in by_study.items():
        assert {claim.experiment for claim in own} <= {e.name for e in studies()[name].experiments}
    choices = {
        "rotor_starts",
        "ground",
        "options",
        "fair_tuning",
        "explorer-models",
        "portraits",
        "orbit",
        "holographic_tuning",  # to here made on validation data; the rest is shown or counted
        "holographic_portrait",
        "holographic_sizes",
        "holographic_text",
    }  # nothing is claimed
    assert {claim.experiment for claim in found} == set(experiments()) - choices


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.name)
def test_conditions_are_columns_and_mixers_of_the_experiment(claim):
    experiment = experiments()[claim.experiment]
    assert set(claim.where) <= {*EVERY_RUN, *experiment.factors, *experiment.conditions}
    named = claim.where.get("mixer", [])
    assert ({named} if isinstance(named, str) else set(named)) <= set(experiment.mixers)
    assert claim.rule.__doc__ and claim.effects and all(effect.size > 0 for effect in claim.effects)
