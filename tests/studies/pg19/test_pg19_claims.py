"""The rules of the books on results made up so that each verdict is known."""

import math

import pytest
from made_up_claims import decided
from made_up_results import loaded, provenance

from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.pg19.claims import (
    attention_beyond_training,
    below_window_attention,
    bounded_beyond_training,
    carried_state_helps,
    longer_memory_helps,
    near_gated_deltanet,
)

SHORT, LONG = 256, 32_768
BOOKS = ("Emma", "Persuasion", "Villette", "Kim")


def run(mixer, values, *, variant="windows", task="bpe", seed=0, lr=0.01, size=64, bins=(), chosen=2.0):
    """values: context → bits per byte, one number or one a book; bins: (context, position, n, value a book)."""
    own = {"task": task, "variant": variant}
    rows = [{"metric": "bits_per_token", "split": "validation", "context": SHORT, "value": chosen}]
    for context, each in values.items():
        each = [each] * len(BOOKS) if isinstance(each, float) else each
        named = [*zip(BOOKS[: len(each)] if len(each) <= 4 else map(str, range(len(each))), each, strict=True)]
        for document, value in [*named, ("all", sum(each) / len(each))]:
            rows.append({"metric": "bits_per_byte", "context": context, "document": document, "value": value})
    for context, position, n, each in bins:
        for document, value in [*zip(BOOKS, each, strict=True), ("all", sum(each) / 4)]:
            at = {"context": context, "position": position, "document": document, "n": n}
            rows.append({"metric": "bits_per_byte_at", "value": value, **at})
    spec = {
        "schema": 1, "experiment": "pg19", "profile": "laptop", "mixer": mixer, "seed": seed, "lr": lr,
        "model": {"d_model": 32}, "train": [], **own,
    }  # fmt: skip
    return Run(spec, provenance(state_bytes=size), [{"n": 100, **row, **own} for row in rows])


def results(tmp_path, *runs):
    store = Store(tmp_path)
    for one in runs:
        store.write(one)
    return loaded(store, "pg19")


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ((2.01, 2.019, 1.5), CONFIRMED),
        ((2.01, 2.01, 2.03), UNDECIDED),
        ((2.03, 2.1, 2.021), REFUTED),
        ((math.nan,) * 3, REFUTED),
    ],
)
def test_the_headline_is_judged_seed_by_seed_at_the_longest_context(tmp_path, mine, verdict):
    runs = [run("hml", {SHORT: 9.0, LONG: value}, seed=seed) for seed, value in enumerate(mine)]
    runs += [run("gated_deltanet", {SHORT: 1.0, LONG: 2.0}, seed=seed) for seed in range(3)]
    # Neither a seed of one alone, nor bytes, nor carried state, nor a rate that was not chosen counts.
    runs += [run("gated_deltanet", {LONG: 1.0}, seed=3), run("gated_deltanet", {LONG: 1.0}, task="bytes")]
    runs += [run("gated_deltanet", {LONG: 1.0}, variant="carried")]
    runs += [run("gated_deltanet", {LONG: 0.5}, lr=0.1, chosen=3.0)]
    assert decided(near_gated_deltanet, results(tmp_path, *runs))[0] == verdict


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ([1.9, 2.0, 2.1, 2.2], CONFIRMED),
        ([1.9, 2.0, 2.1, 2.4], UNDECIDED),
        ([2.1, 2.2, 2.3, 2.4], REFUTED),
        ([2.1, 2.2, 2.3, math.nan], UNDECIDED),
    ],
)
def test_window_attention_is_met_book_by_book_in_the_seed_that_both_have(tmp_path, mine, verdict):
    other = run("window_attention", {SHORT: 0.1, LONG: [2.0, 2.1, 2.2, 2.3]}, size=60)
    found = results(tmp_path, run("hml", {LONG: mine}), run("hml", {LONG: 9.0}, seed=1), other)
    given, evidence = decided(below_window_attention, found)
    assert given == verdict and "state 64 and 60 bytes" in evidence and "of 4 books" in evidence


@pytest.mark.parametrize(
    ("size", "verdict"), [(52, CONFIRMED), (80, CONFIRMED), (50, UNDECIDED), (82, UNDECIDED)]
)
def test_window_attention_of_other_bytes_decides_nothing(tmp_path, size, verdict):
    found = results(tmp_path, run("hml", {LONG: 1.0}), run("window_attention", {LONG: 2.0}, size=size))
    given, evidence = decided(below_window_attention, found)
    assert given == verdict and evidence.endswith("not equal") == (verdict == UNDECIDED)


@pytest.mark.parametrize(
    ("lead", "verdict"), [(0.1, CONFIRMED), (0.01, UNDECIDED), (-0.1, REFUTED), (-0.01, UNDECIDED)]
)
def test_from_five_books_on_the_interval_decides(tmp_path, lead, verdict):
    scatter = [-0.05, -0.02, 0.0, 0.02, 0.05]
    other = run("window_attention", {LONG: [2.0] * 5})
    found = results(tmp_path, run("hml", {LONG: [2.0 - lead + e for e in scatter]}), other)
    given, evidence = decided(below_window_attention, found)
    assert given == verdict and "95 % interval" in evidence


@pytest.mark.parametrize(
    ("gru", "verdict"),
    [
        ([2.0, 2.0, 2.0, 2.03], CONFIRMED),  # worse, but within half a percent
        ([1.9, 2.2, 2.2, 2.2], UNDECIDED),
        ([2.02, 2.02, 2.02, 2.02], REFUTED),
        ([math.nan] * 4, REFUTED),
    ],
)
def test_every_bounded_memory_is_followed_beyond_training(tmp_path, gru, verdict):
    growing = [run(mixer, {SHORT: 2.0, LONG: 5.0}) for mixer in ("attention", "hyena")]
    runs = [run("hml", {SHORT: 2.0, 1024: 9.0, LONG: 1.8}), run("gru", {SHORT: 2.0, LONG: gru}), *growing]
    given, evidence = decided(bounded_beyond_training, results(tmp_path, *runs))
    assert given == verdict and "hml -10.00%" in evidence and "attention" not in evidence


def test_a_bounded_memory_that_was_not_read_so_far_leaves_it_open(tmp_path):
    found = results(tmp_path, run("hml", {SHORT: 2.0, LONG: 1.8}), run("gru", {SHORT: 2.0, 1024: 1.8}))
    verdict, evidence = decided(bounded_beyond_training, found)
    assert verdict == UNDECIDED and evidence.endswith("not read that far: gru")


@pytest.mark.parametrize(
    ("far", "verdict"),
    [([2.1] * 4, CONFIRMED), ([1.9, 2.2, 2.2, 2.2], UNDECIDED), ([2.005] * 4, REFUTED), ([1.0] * 4, REFUTED)],
)
def test_attention_is_judged_at_its_own_longest(tmp_path, far, verdict):
    found = results(tmp_path, run("attention", {SHORT: 2.0, 4096: far}), run("hml", {SHORT: 2.0, LONG: 1.0}))
    given, evidence = decided(attention_beyond_training, found)
    assert given == verdict and "to 4,096 tokens" in evidence


@pytest.mark.parametrize(
    ("carried", "verdict"),
    [([1.9] * 4, CONFIRMED), ([1.9, 1.9, 1.9, 2.1], UNDECIDED), ([2.1] * 4, REFUTED)],
)
def test_carried_state_is_met_at_the_longest(tmp_path, carried, verdict):
    own = run("hml", {SHORT: 1.0, LONG: 2.0})
    found = results(tmp_path, own, run("hml", {SHORT: 3.0, LONG: carried}, variant="carried"))
    assert decided(carried_state_helps, found)[0] == verdict


def bins(change, n=100):
    """Two bins ahead, of which the second holds four times the tokens and outweighs the first; one before."""
    early = [(context, 512, n, [9.0 - (context == LONG)] * 4) for context in (SHORT, LONG)]
    short = [(SHORT, 1024, n, [2.0] * 4), (SHORT, 2048, 4 * n, [2.0] * 4)]
    return early + short + [(LONG, 1024, n, [2.4] * 4), (LONG, 2048, 4 * n, [2.0 + c for c in change])]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ([-0.11] * 4, CONFIRMED),
        ([-0.11, -0.11, -0.11, -0.09], UNDECIDED),
        ([-0.09] * 4, REFUTED),
        ([0.5] * 4, REFUTED),
    ],
)
def test_a_longer_memory_is_judged_on_the_same_tokens(tmp_path, change, verdict):
    found = results(tmp_path, run("hml", {SHORT: 1.0}, bins=bins(change)))
    assert decided(longer_memory_helps, found)[0] == verdict


def test_bins_of_other_tokens_are_not_compared(tmp_path):
    unequal = [(SHORT, 2048, 50, [2.0] * 4), (LONG, 2048, 60, [1.0] * 4)]
    found = results(tmp_path, run("hml", {SHORT: 1.0}, bins=unequal))
    assert decided(longer_memory_helps, found) == (
        UNDECIDED, "the two contexts have no tokens in common",
    )  # fmt: skip
    near = [(context, 512, 50, [2.0] * 4) for context in (SHORT, LONG)]
    found = results(tmp_path / "near", run("hml", {SHORT: 1.0}, bins=near))
    assert decided(longer_memory_helps, found)[0] == UNDECIDED


def test_what_has_no_partner_is_refused(tmp_path):
    with pytest.raises(HmlcoreError, match=r"no 'bits_per_byte' of 'pg19' with .*carried"):
        decided(carried_state_helps, results(tmp_path, run("hml", {LONG: 2.0})))
