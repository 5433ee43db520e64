"""The rules of recall, driven to each verdict."""

import pytest
from made_up_claims import decided, made_up, one_run_a_mixer

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.recall.claims import on_the_frontier, recall_against_delta, recall_at_fixed_state


def recalling(gaps: dict[int, float]) -> ResultSet:
    """HML `gap` above attention's 0.9 at each number of pairs; 99 pairs were not trained."""
    rows = []
    for pairs, gap in (gaps | {99: -0.9}).items():
        for mixer, value in (("attention", 0.9), ("hml", 0.9 + gap)):
            rows.append({"metric": "accuracy", "mixer": mixer, "pairs": pairs, "value": value})
    return one_run_a_mixer("recall", [{"pairs": pairs} for pairs in gaps], rows)


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ({4: 0.0, 8: -0.04}, CONFIRMED),
        ({4: 0.0, 8: -0.06}, UNDECIDED),
        ({4: -0.2, 8: -0.06}, REFUTED),
    ],
)
def test_recall_at_fixed_state(gaps, verdict):
    found, evidence = decided(recall_at_fixed_state, recalling(gaps))
    assert found == verdict
    assert "99" not in evidence


def recall(tmp_path, **scores):
    """mixer → (bytes of state, accuracy at each of two widths)."""
    runs = [
        (mixer, {"d_model": width, "bytes": size}, [{"length": 8, "pairs": 2, "value": value}])
        for mixer, (size, *values) in scores.items()
        for width, value in zip((16, 32), values, strict=True)
    ]
    return made_up(tmp_path, "synthetic_recall", runs)


@pytest.mark.parametrize(("mine", "verdict"), [(0.79, CONFIRMED), (0.76, UNDECIDED), (0.7, REFUTED)])
def test_recall_against_delta(tmp_path, mine, verdict):
    found = recall(tmp_path, hml=(64, mine, mine), gated_deltanet=(64, 0.8, 0.8))
    assert decided(recall_against_delta, found)[0] == verdict


@pytest.mark.parametrize(
    ("mine", "verdict"), [((0.8, 0.8), CONFIRMED), ((0.8, 0.7), UNDECIDED), ((0.7, 0.7), REFUTED)]
)
def test_the_frontier_counts_bounded_memories_of_no_more_bytes(tmp_path, mine, verdict):
    others = dict(gated_deltanet=(64, 0.8, 0.8), mamba=(128, 0.99, 0.99), attention=(32, 1.0, 1.0))
    found = recall(tmp_path, hml=(64, *mine), **others)
    assert decided(on_the_frontier, found)[0] == verdict
