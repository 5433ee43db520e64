"""The rules of gradient stability, driven to each verdict."""

import pytest
from made_up_claims import decided, made_up

from hmlcore.studies.gradients.claims import flat_is_not_legible, twice_the_gradient, undamped_is_flat
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED


def gradients(tmp_path, ratios, read=None):
    """variant → g_early / g_late after training; read: variant → accuracy of the probe."""
    runs = [
        (
            variant if variant in ("gru", "mamba", "hml") else "hml", {"variant": variant, "task": "copy"},
            ([{"metric": "early_late", "stage": "trained", "value": ratio}] if ratio is not None else [])
            + [{"metric": "early_late", "stage": "initial", "value": 1.0}]
            + [{"metric": "linear_probe", "lag": lag, "chance": 0.125, "value": value}
               for lag, value in ((256, 1.0), (4096, (read or {}).get(variant, 1.0)))],
        )
        for variant, ratio in ratios.items()
    ]  # fmt: skip
    return made_up(tmp_path, "synthetic_gradient", runs)


@pytest.mark.parametrize(("mamba", "verdict"), [(0.4, CONFIRMED), (0.6, REFUTED)])
def test_twice_the_gradient_of_every_baseline(tmp_path, mamba, verdict):
    found = gradients(tmp_path, {"hml": 1.0, "gru": 1e-30, "mamba": mamba, "leapfrog learned": 5.0})
    assert decided(twice_the_gradient, found)[0] == verdict


@pytest.mark.parametrize(
    ("leapfrog", "oscillator", "verdict"),
    [(50.0, 0.02, CONFIRMED), (500.0, 0.02, UNDECIDED), (None, 1.0, UNDECIDED), (None, 1e-3, REFUTED)],
)
def test_undamped_gradients_have_to_be_finite_and_flat(tmp_path, leapfrog, oscillator, verdict):
    found = gradients(tmp_path, {"leapfrog undamped": leapfrog, "oscillator undamped": oscillator, "gru": 1e-9})
    assert decided(undamped_is_flat, found)[0] == verdict


@pytest.mark.parametrize(
    ("ratio", "read", "verdict"), [(1.0, 0.2, CONFIRMED), (1.0, 0.3, REFUTED), (1e-9, 0.2, UNDECIDED)]
)
def test_flat_memories_are_read_at_the_longest_lag(tmp_path, ratio, read, verdict):
    found = gradients(tmp_path, {"hml": ratio, "gru": 1e-30}, {"hml": read, "gru": 0.0})
    assert decided(flat_is_not_legible, found)[0] == verdict
