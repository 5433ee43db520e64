"""Signs and colors by which mixers are told apart."""

from made_up_results import ALL_MIXERS

from hmlcore.figures.style import DYNAMICS, OPS, dynamics_style, mixer_style
from hmlcore.figures.style import MIXERS as STYLES


def test_mixer_styles_are_distinct_and_steady():
    # More mixers than colors that everyone can tell apart: related ones share a color, never a sign or line.
    for part in ("label", "symbol"):
        assert len({getattr(style, part) for style in STYLES.values()}) == len(STYLES)
    assert len({(style.color, style.dash) for style in STYLES.values()}) == len(STYLES)
    assert set(ALL_MIXERS) <= set(STYLES)
    spare = mixer_style("retention")
    assert spare == mixer_style("retention") and spare.label == "retention"
    assert spare.color not in {style.color for style in STYLES.values()}
    ops = OPS.values()
    assert all(len({getattr(style, part) for style in ops}) == len(ops) for part in ("label", "symbol"))
    assert len({(style.color, style.dash) for style in ops}) == len(ops)


def test_dynamics_are_told_apart():
    assert len({style.color for style in DYNAMICS.values()}) == len(DYNAMICS)
    assert len({style.symbol for style in DYNAMICS.values()}) == len(DYNAMICS)
    assert dynamics_style("my_own").label == "my_own"
