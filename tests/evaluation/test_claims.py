"""Verdicts follow their rules: each claim is driven to confirmed, refuted and undecided by made-up results."""

import pandas as pd
import pytest

from hmlcore.evaluation.claims import CLAIMS, CONFIRMED, REFUTED, UNDECIDED
from hmlcore.results import ResultSet, canonical

RULES = {claim.rule.__name__: claim.rule for claim in CLAIMS}


def results(experiment: str, train: list[dict], rows: list[dict]) -> ResultSet:
    """A ResultSet of one run a mixer, at one learning rate, with these test rows."""
    frame = pd.DataFrame(rows)
    spec = canonical({"experiment": experiment, "train": train})
    return ResultSet(
        frame.assign(
            n=1, split="test", spec_hash=frame["mixer"], schema=1, experiment=experiment, profile="laptop",
            seed=0, lr=0.001, spec=spec, device="cpu", dirty=False, d_model=64,
        )
    )  # fmt: skip


def copying(hml: float, gru: float, near: float = 1.0) -> ResultSet:
    """Exact accuracy `near` at delay 32 and near·share at delay 512, for the trained payload."""
    rows = []
    for mixer, share in {"hml": hml, "gru": gru, "attention": 0.0}.items():
        for delay, value in ((32, near), (512, near * share)):
            rows.append({"metric": "exact", "mixer": mixer, "payload": 8, "delay": delay, "value": value})
    # An untrained payload, which the rule must leave out.
    rows.append({"metric": "exact", "mixer": "hml", "payload": 16, "delay": 512, "value": 0.0})
    return results("copy", [{"payload": 8, "delay": 0}, {"payload": 8, "delay": 32}], rows)


@pytest.mark.parametrize(
    ("hml", "gru", "near", "verdict"),
    [
        (0.95, 0.1, 1.0, CONFIRMED),
        (0.90, 0.99, 1.0, CONFIRMED),
        (0.82, 0.1, 1.0, UNDECIDED),
        (0.30, 0.4, 1.0, REFUTED),
        (0.95, 0.1, 0.4, UNDECIDED),
    ],
)
def test_load_not_lag(hml, gru, near, verdict):
    found, evidence = RULES["load_not_lag"](copying(hml, gru, near))
    assert found == verdict
    assert f"hml {hml:.0%}" in evidence and "512" in evidence


def recalling(gaps: dict[int, float]) -> ResultSet:
    """HML `gap` above attention's 0.9 at each number of pairs; 99 pairs were not trained."""
    rows = []
    for pairs, gap in (gaps | {99: -0.9}).items():
        for mixer, value in (("attention", 0.9), ("hml", 0.9 + gap)):
            rows.append({"metric": "accuracy", "mixer": mixer, "pairs": pairs, "value": value})
    return results("recall", [{"pairs": pairs} for pairs in gaps], rows)


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ({4: 0.0, 8: -0.04}, CONFIRMED),
        ({4: 0.0, 8: -0.06}, UNDECIDED),
        ({4: -0.2, 8: -0.06}, REFUTED),
    ],
)
def test_recall_at_fixed_state(gaps, verdict):
    found, evidence = RULES["recall_at_fixed_state"](recalling(gaps))
    assert found == verdict
    assert "99" not in evidence


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
    frame = results("bytes", [{"length": 256}], rows).frame
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
    assert RULES["text_within_two_percent"](reading(ratios, dict.fromkeys(ratios, 0.0)))[0] == verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"a": -0.1, "b": 0.0}, CONFIRMED),
        ({"a": -0.1, "b": 0.01}, UNDECIDED),
        ({"a": 0.1, "b": 0.01}, REFUTED),
    ],
)
def test_text_beyond_context(change, verdict):
    found, evidence = RULES["text_beyond_context"](reading({"a": 1.0, "b": 1.0}, change))
    assert found == verdict
    assert "attention +1.000" in evidence


def nested(means: dict[str, float], beyond: dict[int, list[float]]) -> ResultSet:
    """Means per mixer over trained lengths 32 and 64; HML's seeds at longer ones. The floor is .2."""
    rows = []
    for mixer, value in means.items():
        for length, shift in ((32, 0.1), (64, -0.1)):
            rows.append({"mixer": mixer, "length": length, "value": value + shift, "seed": 0})
    for length, values in beyond.items():
        rows += [{"mixer": "hml", "length": length, "value": v, "seed": i} for i, v in enumerate(values)]
        rows.append({"mixer": "attention", "length": length, "value": 0.9, "seed": 0})
    # Reading both ways, which the rules must leave out.
    rows.append({"mixer": "attention", "length": 32, "value": 1.0, "seed": 0, "direction": "bidirectional"})
    rows.append({"mixer": "hml", "length": 256, "value": 0.0, "seed": 0, "direction": "bidirectional"})
    rows = [{"direction": "causal", "metric": "accuracy"} | row for row in rows]
    floors = [row | {"metric": "majority", "value": 0.2} for row in rows]
    frame = results("lra_listops", [{"max_length": 32}, {"max_length": 64}], rows + floors).frame
    own = pd.DataFrame(rows + floors)[["seed"]]
    return ResultSet(frame.assign(seed=own["seed"], spec_hash=frame["mixer"] + frame["direction"]))


@pytest.mark.parametrize(
    ("hml", "best", "verdict"),
    [(0.60, 0.619, CONFIRMED), (0.70, 0.60, CONFIRMED), (0.60, 0.63, UNDECIDED), (0.60, 0.66, REFUTED)],
)
def test_listops_with_the_best(hml, best, verdict):
    rows = nested({"hml": hml, "attention": 0.3, "mamba": best}, {128: [0.0]})
    found, evidence = RULES["listops_with_the_best"](rows)
    assert found == verdict
    assert f"mamba {best:.3f}" in evidence and f"HML {hml:.3f}" in evidence


@pytest.mark.parametrize(
    ("beyond", "verdict"),
    [
        ({128: [0.26, 0.30], 256: [0.26, 0.26]}, CONFIRMED),
        ({128: [0.24, 0.40], 256: [0.26, 0.26]}, UNDECIDED),
        ({128: [0.50, 0.50], 256: [0.24, 0.19]}, REFUTED),
    ],
)
def test_listops_beyond_training(beyond, verdict):
    found, evidence = RULES["listops_beyond_training"](nested({"hml": 0.6, "attention": 0.6}, beyond))
    assert found == verdict
    assert "below 256 tokens" in evidence and "below 32" not in evidence


@pytest.mark.parametrize(
    ("ratios", "spread", "verdict"),
    [
        ({512: 3.0, 1024: 0.7}, 0.1, CONFIRMED),
        ({512: 0.5, 1024: 1.3}, 0.1, REFUTED),
        ({512: 3.0, 1024: 0.9}, 0.1, UNDECIDED),
    ],
)
def test_overtakes_attention(ratios, spread, verdict):
    """Attention takes 2 s at every length and was not timed at 2048, which the rule must leave out."""
    rows = [{"mixer": "hml", "length": 2048, "value": 9.0}]
    for length, ratio in ratios.items():
        rows += [
            {"mixer": m, "length": length, "value": v} for m, v in (("hml", 2 * ratio), ("attention", 2.0))
        ]
    rows = [{"metric": "seconds_train", "spread": spread} | row for row in rows]
    found, evidence = RULES["overtakes_attention"](results("speed", [], rows))
    assert found == verdict
    assert f"{ratios[1024]:.2f} at 1,024" in evidence and "2,048" not in evidence
