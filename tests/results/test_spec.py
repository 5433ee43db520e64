"""Identity of a run."""

import hashlib

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.results import SCHEMA, canonical, spec_hash
from hmlcore.results.spec import check_spec

SPEC = {"schema": SCHEMA, "experiment": "copy", "profile": "smoke", "mixer": "hml", "seed": 0}


def test_canonical_text_is_sorted_and_compact():
    assert canonical({"b": [1, 2.5], "a": {"z": None, "y": True}}) == '{"a":{"y":true,"z":null},"b":[1,2.5]}'


def test_hash_is_the_sha256_of_the_canonical_text():
    assert spec_hash({"b": 1, "a": "é"}) == hashlib.sha256(b'{"a":"\\u00e9","b":1}').hexdigest()


def test_hash_ignores_order_and_tuples_but_no_value():
    assert spec_hash({"a": 1, "b": (1, 2)}) == spec_hash({"b": [1, 2], "a": 1})
    assert spec_hash({"a": 1}) != spec_hash({"a": 2})
    assert spec_hash({"lr": 1e-3}) == spec_hash({"lr": 0.001})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.int64(3), {1, 2}], ids=str)
def test_value_without_json_form_is_refused(value):
    with pytest.raises(HmlcoreError, match="plain JSON"):
        spec_hash({"a": value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"experiment": "../copy"}, "experiment '../copy'"),
        ({"profile": ""}, "profile ''"),
        ({"seed": "0"}, "seed must be an integer, not '0'"),
        ({"mixer": None}, "mixer must be a name"),
    ],
)
def test_spec_that_cannot_be_stored(change, message):
    check_spec(SPEC)
    with pytest.raises(HmlcoreError, match=message):
        check_spec({**SPEC, **change})


def test_missing_key_is_named():
    with pytest.raises(HmlcoreError, match="lacks 'mixer'"):
        check_spec({k: v for k, v in SPEC.items() if k != "mixer"})
