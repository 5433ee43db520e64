"""Claims and captions in words: they say what was run, at every profile, and type no multiple of it."""

import re
from functools import cache
from pathlib import Path

import pytest

from hmlcore.files import listed
from hmlcore.studies import protocol
from hmlcore.studies.export import claims, figures
from hmlcore.studies.gradients.claims import twice_the_gradient
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.physics.claims import WAY, a_long_way_back

ROOT = Path(__file__).parents[2]
NUMBER = (
    r"(?<![\d.])\d[\d,]*|(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|sixteen|twenty|thirty"
    r"|thirty-two|forty|fifty|sixty|sixty-four|a hundred|hundred|a thousand|thousand|a million|dozen)"
)
MULTIPLE = re.compile(rf"\b(?:{NUMBER})\s+times\b", re.IGNORECASE)
"""A whole number of times: of lengths, delays and loads, which a profile sets. Bounds of rules, such as 1.2
times as fast, are the same at every profile."""
FREE = (
    "ten times more slowly",  # a factor of the layer's learning rates, at every profile
    "a thousand times as much text",  # which nobody ran
)


@cache
def grid(experiment, profile):
    return protocol(experiment).grid(profile)


def claim_of(experiment, rule):
    (claim,) = [c for c in claims() if (c.experiment, c.rule.__name__) == (experiment, rule)]
    return claim


def words(experiment, rule, profile):
    return claim_of(experiment, rule).words(grid(experiment, profile))


def longest(specs, knob):
    """(longest test, longest training), of specs read field by field."""
    tested = max(e[knob] for spec in specs for e in spec["evaluate"] if e["split"] == "test" and knob in e)
    return tested, max(task[knob] for spec in specs for task in spec["train"] if knob in task)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.name)
def test_every_statement_reads_at_every_profile(claim, profile):
    text = claim.words(grid(claim.experiment, profile))
    assert text == text.strip() and text[0].isupper() and len(text.split()) > 3
    assert not text.endswith(".") and "{" not in text and "nan" not in text.split()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", figures())
def test_every_caption_reads_at_every_profile(name, profile):
    text = figures()[name].words(grid(figures()[name].experiment, profile))
    assert text == text.strip() and text[0].isupper() and text.endswith(".") and "  " not in text
    assert "{" not in text


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("experiment", ["synthetic_needle", "synthetic_needle_text"])
def test_a_needle_is_sought_as_far_as_the_grid_says(experiment, profile):
    tested, trained = longest(grid(experiment, profile), "length")
    assert tested > trained and words(experiment, "needle_keeps", profile).endswith(
        f" it finds {tested / trained:.0f} times further on"
    )


SUMS = ("parity", "sums modulo 3", "sums modulo 5")


@pytest.mark.parametrize("profile", PROFILES)
def test_sums_go_as_far_as_the_grid_says_in_every_modulus(profile):
    specs = grid("synthetic_tasks", profile)
    (one,) = {longest([spec for spec in specs if spec["task"] == task], "length") for task in SUMS}
    assert f" {one[0] / one[1]:.0f} times beyond" in words("synthetic_tasks", "sums_beyond_training", profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_copies_wait_as_long_as_the_grid_says(profile):
    specs = [spec for spec in grid("synthetic_tasks", profile) if spec["task"] == "copy"]
    tested, trained = longest(specs, "delay")
    text = words("synthetic_tasks", "delay_not_load", profile)
    assert text.endswith(f" across {tested / trained:.0f} times that")


@pytest.mark.parametrize("profile", PROFILES)
def test_gradients_reach_as_far_as_the_grid_says(profile):
    (lag,) = {max(spec["examine"]["lags"]) for spec in grid("synthetic_gradient", profile)}
    assert f"At a lag of {lag:,} " in words("synthetic_gradient", twice_the_gradient.__name__, profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_way_back_is_as_long_as_the_grid_says(profile):
    ways = {max(spec["reversal"]) for spec in grid("physics", profile) if "reversal" in spec}
    (way,) = ways
    assert f" over {way:,} tokens," in words("physics", a_long_way_back.__name__, profile)
    assert (way >= WAY) == (profile != "smoke")  # only what is long enough is decided


def test_settings_of_another_profile_are_not_named():
    for experiment, rule in (("synthetic_gradient", "twice_the_gradient"), ("physics", "a_long_way_back")):
        assert words(experiment, rule, "smoke") != words(experiment, rule, "laptop")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("found 128 times further", True),
        ("sixteen times longer", True),
        ("A hundred\ntimes as far", True),
        ("1,024 times", True),
        ("1.2 times as fast", False),
        ("at all times", False),
        ("twice", False),
        ("3 timestamps", False),
    ],
)
def test_what_a_typed_multiple_is(text, found):
    assert bool(MULTIPLE.search(text)) == found


@pytest.mark.parametrize(
    ("name", "text"),
    [(claim.name, claim.statement) for claim in claims() if isinstance(claim.statement, str)]
    + [(name, figure.caption) for name, figure in figures().items() if isinstance(figure.caption, str)],
)
def test_what_is_said_of_every_profile_has_no_multiple(name, text):
    assert not MULTIPLE.search(text)


@pytest.mark.parametrize("chapter", listed(ROOT / "notebooks", "*.py"), ids=lambda path: path.stem)
def test_prose_of_chapters_types_no_multiple(chapter):
    lines = chapter.read_text("utf-8").splitlines()
    prose = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    for free in FREE:
        prose = prose.replace(free, "")
    assert MULTIPLE.findall(prose) == []
