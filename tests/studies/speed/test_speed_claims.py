"""Goals of speed follow their rules: confirmed, refuted, undecided in the noise, empty if not measured."""

import pandas as pd
import pytest

from hmlcore.results import ResultSet, canonical
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.speed.claims import CLAIMS, GOALS, OURS, goal_table, ratios

GOAL = {goal.rule.__name__: goal for goal in GOALS}
FASTER = {
    "twice_transformers": (OURS, "op:gdn-transformers", 2),
    "same_rule_twice_transformers": ("op:hml-p1-bytes", "op:gdn-transformers", 2),
    "faster_than_attention": (OURS, "op:sdpa", 1),
    "second_row": (OURS, "op:hml-p1", 1 / 1.5),
    "faster_than_fla": (OURS, "op:gdn-fla", 1.2),
    "no_more_memory": (OURS, "op:gdn-fla", 1),
}


def results(rows, device="cpu", metric="seconds_train") -> ResultSet:
    """A run an op; rows of (op, length, value, spread) or whole dictionaries."""
    rows = [
        row if isinstance(row, dict) else dict(zip(("mixer", "length", "value", "spread"), row, strict=True))
        for row in rows
    ]
    frame = pd.DataFrame([{"metric": metric, "bytes_moved": 8} | row for row in rows])
    return ResultSet(
        frame.assign(
            n=5, split="test", spec_hash=frame["mixer"], schema=1, experiment="op_speed", profile="laptop",
            seed=0, lr=None, spec=canonical({}), device=device, dirty=False,
        )
    )  # fmt: skip


def timed(name, factors, spread=0.01, device=None) -> ResultSet:
    """Ours takes 3 s, the other `factor` of the bound times as long, by length."""
    ours, other, bound = FASTER[name]
    metric = "peak_memory_bytes" if name == "no_more_memory" else "seconds_train"
    rows = [(ours, length, 3.0, spread) for length in factors]
    rows += [(other, length, 3.0 * bound * factor, spread) for length, factor in factors.items()]
    device = device or ("cpu" if GOAL[name].where == "CPU" else "a GPU")
    return results(rows, device, metric)


@pytest.mark.parametrize("name", FASTER)
@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ({2048: 1.1, 8192: 3.0}, CONFIRMED),
        ({2048: 1.01, 8192: 3.0}, UNDECIDED),
        ({2048: 0.99, 8192: 3.0}, UNDECIDED),
        ({2048: 3.0, 8192: 0.9}, REFUTED),
    ],
)
def test_a_ratio_decides_at_every_length(name, factors, verdict):
    found, evidence = GOAL[name].decide(timed(name, factors))
    assert found == verdict
    assert "at 2,048" in evidence and "at 8,192" in evidence


@pytest.mark.parametrize("name", FASTER)
def test_evidence_is_the_ratio_that_the_goal_names(name):
    _, evidence = GOAL[name].decide(timed(name, {4096: 3.0}))
    bound = FASTER[name][2]
    shown = 3 * bound if "times as fast" in evidence else 1 / (3 * bound)
    assert f"{shown:.2f} at 4,096" in evidence


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("twice_transformers", 1024),
        ("faster_than_attention", 2048),
        ("second_row", 1024),
        ("faster_than_fla", 2048),
    ],
)
def test_shorter_sequences_are_not_what_the_goal_is_about(name, least):
    found, evidence = GOAL[name].decide(timed(name, {least // 2: 0.1, least: 3.0}))
    assert found == CONFIRMED and f"{least // 2:,}" not in evidence
    assert GOAL[name].decide(timed(name, {least // 2: 3.0})) == (UNDECIDED, "")


@pytest.mark.parametrize("name", FASTER)
def test_another_machine_decides_nothing(name):
    other = "a GPU" if GOAL[name].where == "CPU" else "cpu"
    assert GOAL[name].decide(timed(name, {4096: 9.0}, device=other)) == (UNDECIDED, "")


def test_what_only_one_was_timed_at_is_left_out():
    rows = [(OURS, 1024, 1.0, 0.0), (OURS, 2048, 1.0, 0.0), ("op:sdpa", 2048, 4.0, None)]
    table = ratios(results(rows), "seconds_train", OURS, "op:sdpa")
    assert dict(table["ratio"]) == {2048: 0.25} and dict(table["noise"]) == {2048: 0.0}
    assert ratios(results(rows), "seconds_train", OURS, "op:hml-p1").empty


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        ({"op:momentum-fla": 9.0, "op:ssd-fla": 9.0, "op:sdpa": 9.0}, CONFIRMED),
        ({"op:momentum-fla": 9.0, "op:ssd-fla": 2.0, "op:sdpa": 9.0}, REFUTED),
        ({"op:momentum-fla": 9.0, "op:sdpa": 9.0}, UNDECIDED),
    ],
)
def test_faster_than_all_needs_all(times, verdict):
    rows = [(OURS, 8192, 3.0, 0.01)] + [(name, 8192, value, 0.01) for name, value in times.items()]
    rows += [(name, 4096, 0.1, 0.01) for name in times] + [(OURS, 4096, 3.0, 0.01)]
    found, evidence = GOAL["faster_than_all"].decide(results(rows, "a GPU"))
    assert found == verdict and "4,096" not in evidence and "FlashAttention times as fast: 3.00" in evidence
    assert GOAL["faster_than_all"].decide(results(rows[:1], "a GPU")) == (UNDECIDED, "")


@pytest.mark.parametrize(
    ("slow", "spread", "moved", "verdict"),
    [
        (1.09, 0.0, 8, CONFIRMED),
        (1.3, 0.2, 8, UNDECIDED),
        (1.3, 0.1, 8, REFUTED),
        (1.0, 0.2, 9, REFUTED),
    ],
)
def test_flat_decoding(slow, spread, moved, verdict):
    """64 tokens are too few to count; another op's cache may grow."""
    contexts = {64: (99.0, 8), 1000: (1.0, 8), 100_000: (slow, 8), 10**6: (1.0, moved)}
    rows = [
        {"mixer": mixer, "length": n, "value": 1e-4 * value, "bytes_moved": size * grow, "spread": spread}
        for n, (value, size) in contexts.items()
        for mixer, grow in ((OURS, 1), ("op:sdpa", n))
    ]
    found, evidence = GOAL["flat_decoding"].decide(results(rows, metric="seconds_decode"))
    assert found == verdict
    assert "100 µs and 8 bytes after 1,000" in evidence and "after 64" not in evidence
    few = results(rows[:4], metric="seconds_decode")
    assert GOAL["flat_decoding"].decide(few) == (UNDECIDED, "")


def test_the_table_leaves_a_gpu_empty_on_a_cpu():
    table = goal_table(timed("twice_transformers", {4096: 3.0})).set_index("goal")
    assert list(table["where"]) == [goal.where for goal in GOALS]
    measured = table[table["verdict"] != ""]
    assert list(measured.index) == [GOAL["twice_transformers"].statement]
    assert list(measured["verdict"]) == [CONFIRMED]
    assert (table.drop(measured.index)[["measured", "verdict"]] == "").all(axis=None)


def test_the_goals_of_a_cpu_are_claims():
    claimed = [claim.statement for claim in CLAIMS if claim.experiment == "op_speed"]
    assert claimed == [goal.statement for goal in GOALS if goal.where != "GPU"] and len(claimed) == 5
