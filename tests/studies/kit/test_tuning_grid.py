"""A tuning grid goes on where an edge won, at most twice, and what was tried is kept."""

import json

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.files import json_text
from hmlcore.studies.kit.comparison import read_rates
from hmlcore.studies.kit.tuning import EXTENSIONS, Tuned, as_stored, next_rate, rates_to_try, read_tuned

BASE = [3e-3, 1e-2]


def test_before_tuning_a_grid_tries_its_base_rates():
    assert rates_to_try([1e-2, 3e-3], None) == BASE
    assert rates_to_try(BASE, Tuned(1e-2)) == BASE  # what was tried is not known
    assert rates_to_try(BASE, Tuned(1e-2, (1e-2,), (0,))) == BASE  # and not all of it was


@pytest.mark.parametrize(
    ("tried", "best", "beyond"),
    [
        ((3e-3, 1e-2), 1e-2, 3e-2),
        ((3e-3, 1e-2), 3e-3, 1e-3),
        ((1e-3, 3e-3), 3e-3, 1e-2),
        ((1e-3, 1e-2), 1e-2, 1e-1),
        ((1e-3, 1e-2), 1e-3, 1e-4),
        ((1e-3, 3e-3, 1e-2), 3e-3, None),
        ((0.3, 1.0), 1.0, 3.0),
        ((2e-2, 5e-2), 5e-2, 1e-1),
        ((1e-2, 1.1e-2), 1.1e-2, 3e-2),  # never the same again
        ((1e-2, 1.1e-2), 1e-2, 3e-3),
        ((1e-2,), 1e-2, None),  # nothing was chosen
    ],
)
def test_the_next_rate_is_as_far_beyond_the_edge_as_its_neighbour(tried, best, beyond):
    tuned = Tuned(best, tried, (0,))
    assert next_rate(tuned) == beyond
    assert rates_to_try(tried, tuned) == sorted({*tried, beyond} - {None})


def tuned_in_rounds(base, score):
    """What `hml run` and `hml tune` come to, round by round, where a rate is worth `score`."""
    tuned, rounds = None, []
    while not rounds or rates_to_try(base, tuned) != rounds[-1]:
        rounds.append(rates_to_try(base, tuned))
        tuned = Tuned(max(rounds[-1], key=score), tuple(rounds[-1]), (0, 1))
    return tuned, rounds


@pytest.mark.parametrize(
    ("peak", "tried", "edge"),
    [
        (1e-2, [3e-3, 1e-2, 3e-2], 0),
        (3e-2, [3e-3, 1e-2, 3e-2, 1e-1], 0),
        (1e-3, [3e-4, 1e-3, 3e-3, 1e-2], 0),
        (1.0, [3e-3, 1e-2, 3e-2, 1e-1], 1),
        (1e-6, [3e-4, 1e-3, 3e-3, 1e-2], -1),
    ],
)
def test_rounds_end_inside_or_marked_at_the_edge(peak, tried, edge):
    tuned, rounds = tuned_in_rounds(BASE, lambda rate: -abs(rate / peak - peak / rate))
    assert rounds[-1] == tried and tuned.edge == edge
    assert len(rounds) <= 1 + EXTENSIONS and rounds[0] == BASE


@pytest.mark.parametrize("base", [[], [0.0], [-1e-3], 1e-3, [float("nan")]])
def test_rates_that_are_none_are_refused(base):
    with pytest.raises(HmlcoreError, match="base must"):
        rates_to_try(base, None)


def written(folder, found):
    (folder / "rates.json").write_text(json_text(found, 1))
    return folder


def test_plain_rates_are_read_beside_those_that_say_what_was_tried(tmp_path):
    assert read_tuned(tmp_path) == read_rates(tmp_path) == {}
    found = Tuned(1e-2, (3e-3, 1e-2), (0, 1))
    plain = {"lr": 1e-2, "tried": [3e-3, 1e-2], "seeds": [0, 1]}
    assert json.loads(json.dumps(as_stored(found))) == plain
    assert as_stored(found._replace(best=False)) == plain | {"best": False}
    written(tmp_path, {"laptop": {"e": {"a, b": {"hml": as_stored(found), "gru": 3e-3}}}})
    assert read_tuned(tmp_path) == {"laptop": {"e": {"a, b": {"hml": found, "gru": Tuned(3e-3)}}}}
    assert read_rates(tmp_path) == {"laptop": {"e": {"a, b": {"hml": 1e-2, "gru": 3e-3}}}}
    written(tmp_path, {"laptop": {"e": {"a": {"hml": plain | {"best": False}}}}})
    assert read_tuned(tmp_path)["laptop"]["e"]["a"]["hml"] == found._replace(best=False)


_NEITHER = {"lr": 1e-2, "tried": [1e-2], "seeds": [0], "best": "yes"}


@pytest.mark.parametrize(
    "found",
    [
        [], {"laptop": 1}, {"laptop": {"e": {"a": {"hml": "fast"}}}},
        {"laptop": {"e": {"a": {"hml": _NEITHER}}}},
        "no JSON",
    ],
)  # fmt: skip
def test_a_file_that_holds_no_rates_is_refused_by_name(tmp_path, found):
    written(tmp_path, found)
    if found == "no JSON":
        (tmp_path / "rates.json").write_text(found)
    with pytest.raises(HmlcoreError, match=r"rates\.json holds no rates that tuning chose"):
        read_rates(tmp_path)
