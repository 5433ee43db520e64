"""Runs of several grids are not set side by side without a word."""

import time

import pytest
from made_up import run, spec

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store, spec_hash
from hmlcore.results.uniform import check_uniform

TRAIN = [{"task": "copy", "payload": 4, "delay": 32}, {"task": "copy", "payload": 8, "delay": 32}]
TESTS = [{"task": "copy", "delay": delay, "split": "test", "examples": 256} for delay in (32, 64, 128)]


def grid(seeds=(0, 1, 2), mixers=("hml", "gru"), model=None, **changes):
    """A small grid: per mixer and seed one spec."""
    specs = []
    for mixer in mixers:
        own = {"d_model": 64, "layers": 2, "mixer_args": {"num_heads": 4} if mixer == "hml" else {}}
        settings = {"steps": 100, "batch_size": 32, "train": TRAIN, "evaluate": TESTS, "precision": "fp32"}
        settings |= {"model": own | (model or {})} | changes
        specs += [spec(seed=seed, mixer=mixer, **settings) for seed in seeds]
    return specs


def other_lengths():
    return [test | {"delay": 256} if test["delay"] == 128 else test for test in TESTS]


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (
            grid(steps=50),
            r"of 12 runs with d_model=64, steps is 100 in 6 \(as [0-9a-f]{16}\) and 50 in 6",
        ),
        (grid(evaluate=other_lengths()), r"evaluate\[2\]\.delay is 128 in 6 .* and 256 in 6"),
        (grid(evaluate=TESTS[:2]), r"evaluate\.number is 3 in 6 .* and 2 in 6"),
        (grid(train=TRAIN[:1]), r"train\.number is 2 in 6 .* and 1 in 6"),
        (grid(batch_size=8), r"batch_size is 32 in 6 .* and 8 in 6"),
        (grid(model={"layers": 4}), r"model\.layers is 2 in 6 .* and 4 in 6"),
        (grid(precision="bf16"), r"precision is fp32 in 6 .* and bf16 in 6"),
        (grid(energy_penalty=0.1), r"energy_penalty is absent in 6 .* and 0\.1 in 6"),
        (grid(seeds=[7], steps=50), r"of 8 runs .* steps is 100 in 6 .* and 50 in 2"),
    ],
)
def test_an_old_grid_beside_a_new_one_is_refused(old, message):
    for specs in (grid() + old, old + grid()):
        with pytest.raises(HmlcoreError) as caught:
            check_uniform(specs)
        if specs[0] not in old:
            assert caught.match(message)
    assert caught.match(
        "results of 'copy' at profile 'smoke' are of several grids: .*; delete those that no grid"
    )
    assert "\n" not in str(caught.value) and "hml pack copy --profile smoke --drop HASH" in str(caught.value)
    check_uniform(old)


def test_mixers_of_one_comparison_share_their_settings():
    with pytest.raises(HmlcoreError, match=r"of 6 runs with d_model=64, steps is 100 in 3 .* and 50 in 3"):
        check_uniform(grid(mixers=["hml"]) + grid(mixers=["gru"], steps=50))


def test_the_hash_of_an_odd_one_is_given():
    odd = grid(seeds=[9], mixers=["gru"], steps=50)
    with pytest.raises(HmlcoreError, match=rf"50 in 1 \(as {spec_hash(odd[0])[:16]}\)"):
        check_uniform(grid() + odd)


def test_what_a_comparison_is_about_may_differ():
    """Seeds, mixers and their arguments, rates, and which runs were asked for a trace."""
    check_uniform([])
    check_uniform(grid() + grid(seeds=[3, 4], mixers=["hml"]))
    check_uniform(grid(lr=0.1) + grid(lr=0.2) + grid(seeds=[5], trace={"task": "copy"}))
    check_uniform(grid() + grid(model={"mixer_args": {"num_heads": 8}}))
    check_uniform([{key: value for key, value in one.items() if key != "lr"} for one in grid()])


def test_factors_tell_runs_of_one_grid_apart():
    by_task = grid(task="copy") + grid(task="recall", steps=50, train=[{"task": "mqar"}])
    by_corpus = grid(train=[{"task": "bytes", "corpus": "a"}])
    by_corpus += grid(train=[{"task": "bytes", "corpus": "b"}], steps=2)
    by_width = grid() + grid(model={"d_model": 32, "layers": 1}, steps=50)
    for specs in (by_task, by_corpus, by_width):
        check_uniform(specs)
        with pytest.raises(HmlcoreError, match="several grids"):
            check_uniform(specs, factors=())
    check_uniform(by_task, ("task",))
    check_uniform(by_width, ("d_model",))
    check_uniform(by_corpus, ("corpus",))
    check_uniform(grid() + grid(steps=50), ("steps",))
    check_uniform(grid() + grid(model={"layers": 4}), ("layers",))
    with pytest.raises(HmlcoreError, match="of 12 runs with task=copy, steps is 100 in 6"):
        check_uniform(by_task + grid(task="copy", steps=7), ("task",))


def test_a_factor_that_no_run_has_is_named():
    with pytest.raises(HmlcoreError, match="factor 'variant' is in no spec, nor in its model"):
        check_uniform(grid(), ("d_model", "variant"))


def test_a_store_with_two_grids_is_not_loaded(tmp_path):
    store = Store(tmp_path)
    for seed, steps in ((0, 100), (1, 100), (0, 50)):
        store.write(run(seed=seed, steps=steps))
    with pytest.raises(HmlcoreError, match=r"steps is (100 in 2|50 in 1)"):
        store.load("smoke", "copy")
    assert len(store.load("smoke", "copy", factors=("steps",)).hashes) == 3


def test_four_hundred_runs_cost_little():
    specs = [spec for n in range(67) for spec in grid(seeds=[3 * n, 3 * n + 1, 3 * n + 2], evaluate=TESTS * 8)]
    start = time.perf_counter()
    check_uniform(specs)
    assert time.perf_counter() - start < 0.5  # about 5 ms on an idle machine
