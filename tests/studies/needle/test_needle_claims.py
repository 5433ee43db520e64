"""The rules of the needle, driven to each verdict."""

import pytest
from made_up_claims import decided, made_up

from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.needle.claims import needle_at_the_longest, needle_keeps


def needle(tmp_path, **scores):
    """mixer → (accuracy at 128 tokens, at 16,384), at two depths around the mean."""
    runs = [
        (
            mixer, {"task": "needle"}, [
                {"length": length, "depth": depth, "value": value + change}
                for length, value in zip((128, 16_384), pair, strict=True)
                for depth, change in ((0.0, -0.01), (1.0, 0.01))
            ] + [{"length": 128, "value": 1.0}],  # one of RULER's other settings, without a depth
        )
        for mixer, pair in scores.items()
    ]  # fmt: skip
    return made_up(tmp_path, "synthetic_needle", runs)


@pytest.mark.parametrize(
    ("mine", "verdict"), [(0.89, CONFIRMED), (0.86, UNDECIDED), (0.84, REFUTED), (0.95, CONFIRMED)]
)
def test_the_needle_is_compared_with_bounded_memories_at_the_longest(tmp_path, mine, verdict):
    found = needle(tmp_path, hml=(0.1, mine), mamba=(0.99, 0.9), gru=(0.99, 0.2), attention=(0.99, 0.99))
    assert decided(needle_at_the_longest, found)[0] == verdict


@pytest.mark.parametrize(
    ("near", "far", "verdict"),
    [(0.8, 0.73, CONFIRMED), (0.8, 0.6, UNDECIDED), (0.8, 0.39, REFUTED), (0.4, 0.4, UNDECIDED)],
)
def test_the_share_of_needles_that_is_kept(tmp_path, near, far, verdict):
    found = needle(tmp_path, hml=(near, far), mamba=(0.99, 0.99))
    assert decided(needle_keeps, found)[0] == verdict


def test_in_prose_whole_numbers_count(tmp_path):
    """Digits may be right where numbers are not."""
    runs = [
        (mixer, {"task": "text"}, [
            {"length": length, "depth": 0.5, "metric": metric, "value": value}
            for length, whole in ((192, near), (16_384, far))
            for metric, value in (("exact", whole), ("accuracy", 0.9))
        ])
        for mixer, near, far in (("hml", 0.9, 0.1), ("mamba", 0.9, 0.3), ("attention", 1.0, 1.0))
    ]  # fmt: skip
    found = made_up(tmp_path, "synthetic_needle_text", runs)
    verdict, evidence = decided(needle_at_the_longest, found)
    assert verdict == REFUTED and evidence == "at 16,384 bytes: HML 0.100, mamba 0.300: -0.200"
    assert decided(needle_keeps, found) == (REFUTED, "0.900 at 192 bytes, 0.100 at 16,384")
