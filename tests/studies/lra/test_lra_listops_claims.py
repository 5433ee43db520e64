"""The rules of ListOps, driven to each verdict."""

import pandas as pd
import pytest
from made_up_claims import decided, one_run_a_mixer

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.lra.claims import listops_beyond_training, listops_with_the_best


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
    frame = one_run_a_mixer("lra_listops", [{"max_length": 32}, {"max_length": 64}], rows + floors).frame
    own = pd.DataFrame(rows + floors)[["seed"]]
    return ResultSet(frame.assign(seed=own["seed"], spec_hash=frame["mixer"] + frame["direction"]))


@pytest.mark.parametrize(
    ("hml", "best", "verdict"),
    [(0.60, 0.619, CONFIRMED), (0.70, 0.60, CONFIRMED), (0.60, 0.63, UNDECIDED), (0.60, 0.66, REFUTED)],
)
def test_listops_with_the_best(hml, best, verdict):
    rows = nested({"hml": hml, "attention": 0.3, "mamba": best}, {128: [0.0]})
    found, evidence = decided(listops_with_the_best, rows)
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
    found, evidence = decided(listops_beyond_training, nested({"hml": 0.6, "attention": 0.6}, beyond))
    assert found == verdict
    assert "below 256 tokens" in evidence and "below 32" not in evidence
