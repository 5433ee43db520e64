"""The rules of text as bytes, driven to each verdict."""

import pytest
from made_up_claims import decided, one_run_a_mixer

from hmlcore.results import ResultSet
from hmlcore.studies.bytes.claims import text_beyond_context, text_within_two_percent
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED


def reading(ratios: dict[str, float], change: dict[str, float]) -> ResultSet:
    """HML at `ratio` times attention's 3 bits at context 256, `change` more at 1024, a corpus each."""
    rows = []
    for corpus, ratio in ratios.items():
        for mixer, bits, more in (("attention", 3.0, 1.0), ("hml", 3.0 * ratio, change[corpus])):
            for context, value in ((256, bits), (1024, bits + more)):
                rows.append(
                    {
                        "metric": "bits_per_byte",
                        "mixer": mixer,
                        "corpus": corpus,
                        "context": context,
                        "value": value,
                    }
                )
    frame = one_run_a_mixer("bytes", [{"length": 256}], rows).frame
    return ResultSet(frame.assign(spec_hash=frame["mixer"] + frame["corpus"]))


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({"a": 1.019, "b": 0.9}, CONFIRMED),
        ({"a": 1.021, "b": 0.9}, UNDECIDED),
        ({"a": 1.1, "b": 1.1}, REFUTED),
    ],
)
def test_text_within_two_percent(ratios, verdict):
    assert decided(text_within_two_percent, reading(ratios, dict.fromkeys(ratios, 0.0)))[0] == verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"a": -0.1, "b": 0.0}, CONFIRMED),
        ({"a": -0.1, "b": 0.01}, UNDECIDED),
        ({"a": 0.1, "b": 0.01}, REFUTED),
    ],
)
def test_text_beyond_context(change, verdict):
    found, evidence = decided(text_beyond_context, reading({"a": 1.0, "b": 1.0}, change))
    assert found == verdict
    assert "attention +1.000" in evidence
