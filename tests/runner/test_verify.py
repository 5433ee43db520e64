"""`hml verify` makes stored runs again: honest ones agree, tampered ones do not."""

import math

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from made_up import provenance
from tiny_runs import tiny

from hmlcore import cli
from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store, spec_hash
from hmlcore.results.files import loose_bytes
from hmlcore.runner import run_grid
from hmlcore.runner.verify import _gap, keys_of, verify
from hmlcore.studies import protocol
from hmlcore.studies.copy.claims import CLAIMS
from hmlcore.studies.kit.claim import NEAR, Claim, Effect, tolerance


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two stored runs, copied by each test that changes them."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMLCORE_CHECKPOINTS", str(folder / "checkpoints"))
        run_grid([tiny("hml"), tiny("gru")], Store(folder / "results"))
    return folder / "results"


@pytest.fixture
def store(made, own_folders):
    for file in made.rglob("*.parquet"):
        copy = own_folders / "results" / file.relative_to(made)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return Store(own_folders / "results")


def tamper(store, spec, metric, change):
    """Write `change(value)` in place of a stored test value of `metric`."""
    path = store.path(spec)
    table = pq.read_table(path)
    hit = pc.and_(pc.equal(table["metric"], metric), pc.equal(table["split"], "test"))
    new = pc.if_else(hit, pa.array([change(v) for v in table["value"].to_pylist()]), table["value"])
    assert sum(hit.to_pylist()) == 1
    path.write_bytes(loose_bytes(table.set_column(table.column_names.index("value"), "value", new)))


def test_honest_runs_agree_to_the_bit(store):
    verdicts = verify(store, "smoke", ["copy"], sample=2, seed=0)
    assert len({v.spec_hash for v in verdicts}) == 2
    for v in verdicts:
        assert v.passed and v.values == v.identical == v.within == 4 and v.worst == 0
    assert store.load("smoke", "copy").mixers == ["gru", "hml"]


def test_a_tampered_value_is_found(store):
    tamper(store, tiny("hml"), "accuracy", lambda v: v + 0.1)
    verdicts = {v.label: v for v in verify(store, "smoke", ["copy"], sample=2)}
    bad = verdicts["copy hml d=8 lr=0.01 seed=0"]
    assert not bad.passed and (bad.values, bad.identical, bad.within) == (4, 3, 3)
    assert bad.worst == pytest.approx(0.1)
    assert verdicts["copy gru d=8 lr=0.01 seed=0"].passed


def again(store, mixer="hml"):
    """The verdict on the run of `tiny(mixer)`."""
    (verdict,) = verify(store, "smoke", ["copy"], sample=1, run=spec_hash(tiny(mixer)))
    return verdict


# On whole answers there is a claim, decided by differences of .1; on accuracy there is none.
ALLOWED = {"exact": 0.1 / 5, "accuracy": 0.02 / 5}


@pytest.mark.parametrize("metric", ALLOWED)
def test_other_machines_may_differ_by_less_than_a_claim_decides_by(metric, store):
    """By a fifth of the smallest effect, and no more."""
    assert min(e.size for c in CLAIMS for e in c.effects if e.metric == "exact") / 5 == ALLOWED["exact"]
    tamper(store, tiny("hml"), metric, lambda v: v + 0.9 * ALLOWED[metric])
    verdict = again(store)
    assert verdict.passed and verdict.identical == 3 and verdict.worst == pytest.approx(0.9 * ALLOWED[metric])
    tamper(store, tiny("hml"), metric, lambda v: v + 0.2 * ALLOWED[metric])
    verdict = again(store)
    assert not verdict.passed and (verdict.values, verdict.within) == (4, 3)


def test_the_tolerance_is_a_fifth_of_the_smallest_effect_on_the_metric():
    def claim(*effects):
        return Claim("said", "copy", lambda _: ("undecided", ""), effects=effects)

    near = claim(Effect("a", 0.05), Effect("c", 0.1, relative=True))
    claims, usual = [claim(Effect("a", 0.1), Effect("b", 0.5)), near], NEAR / 5
    assert tolerance(claims, "a", 7.0) == pytest.approx(0.01)
    assert tolerance(claims, "b", 7.0) == pytest.approx(0.1)
    assert [tolerance(claims, "c", v) for v in (3.0, -3.0)] == pytest.approx([0.06, 0.06])
    # Where nothing is claimed: what counts as equal, relative to values above 1.
    assert [tolerance(claims, "d", v) for v in (0.1, 1.0, -40)] == pytest.approx([usual, usual, 40 * usual])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_diverged_is_no_agreement_with_one_that_did_not(value, store):
    tamper(store, tiny("hml"), "accuracy", lambda v: value)
    assert not again(store).passed


def test_runs_that_diverge_alike_agree():
    inf, nan = math.inf, math.nan
    assert [_gap(nan, nan), _gap(inf, inf), _gap(1.0, 1.0), _gap(1.0, 3.0)] == [0, 0, 0, 2]
    assert all(not math.isfinite(_gap(a, b)) for a, b in ((nan, 1.0), (1.0, nan), (inf, 1.0), (inf, -inf)))


def test_values_are_told_apart_by_what_their_study_says():
    assert keys_of("copy") == ["spec_hash", "metric", "split", "payload", "delay", "length"]
    assert keys_of("speed") == ["spec_hash", "metric", "split", "length"]
    assert keys_of("rotor_counting")[3:] == ["task", "variant", "length", "group", "rotor"]


def test_a_value_that_vanished_is_found(store):
    path = store.path(tiny("hml"))
    table = pq.read_table(path)
    path.write_bytes(loose_bytes(table.slice(0, table.num_rows - 1)))
    told = []
    verdicts = {v.label[:8]: v for v in verify(store, "smoke", ["copy"], sample=2, tell=told.append)}
    gone = verdicts["copy hml"]
    assert not gone.passed and (gone.values, gone.identical, gone.within, gone.worst) == (4, 3, 3, 0)
    assert verdicts["copy gru"].passed and {v.label[:8]: v for v in told} == verdicts


def test_samples_are_chosen_by_seed(store):
    one, same = (verify(store, "smoke", ["copy"], 1, seed=3)[0].spec_hash for _ in range(2))
    assert one == same


@pytest.mark.parametrize(
    ("sample", "names", "message"),
    [
        (0, ["copy"], "sample must be at least 1, got 0"),
        (3, ["copy", "recall"], r"sample = 3, but profile 'smoke' has 2 runs of \['copy', 'recall'\]"),
    ],
)
def test_impossible_samples_are_refused(store, sample, names, message):
    with pytest.raises(HmlcoreError, match=message):
        verify(store, "smoke", names, sample)


def test_the_command_says_what_agrees_and_fails_where_it_does_not(store, capsys):
    assert cli.main(["verify", "copy", "--profile", "smoke", "--sample", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok ") == 2 and "4 of 4 values identical" in out and out.endswith("2 of 2 runs agree\n")
    tamper(store, tiny("gru"), "exact", lambda v: v + 1)
    assert cli.main(["verify", "copy", "--profile", "smoke", "--sample", "2"]) == 1
    out = capsys.readouterr().out
    assert out.count("ok ") == 1 and out.count("DIFFER copy gru") == 1 and "largest difference 1\n" in out
    assert out.endswith("1 of 2 runs agree\n")


def test_timings_are_not_made_again(store):
    spec = protocol("speed").grid("smoke")[0]
    store.write(Run(spec, provenance(), [{"metric": "seconds_train", "value": 1.0}]))
    with pytest.raises(HmlcoreError, match=r"sample = 1, but profile 'smoke' has 0 runs of \['speed'\]"):
        verify(store, "smoke", ["speed"], sample=1)
    with pytest.raises(HmlcoreError, match="sample = 3, but profile 'smoke' has 2 runs"):
        verify(store, "smoke", ["copy", "speed"], sample=3)
