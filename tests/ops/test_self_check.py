"""Every op's check of itself: it accepts what is right and sees what is wrong."""

import math

import pytest
import torch
from faults import FAULTS

import hmlcore.ops  # noqa: F401  registers the ops
from hmlcore.ops import backend
from hmlcore.ops.self_check import seeded


@pytest.fixture(autouse=True)
def no_override(monkeypatch):
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)


@pytest.mark.parametrize("op", backend.ops())
def test_self_check_accepts_every_form(op):
    for form in backend._FORMS[op][:-1]:  # naive itself is the last
        if form.obstacle(torch.device("cpu")) is None:
            assert backend.self_check(backend.Choice(op, form, ""), "cpu") < 1e-5


# Whatever is found, one function compares it: that NaN is infinitely wrong is asked of one op.
EVERY_OP = [(op, fault) for op in backend.ops() for fault in FAULTS if "NaN" not in fault or op == "gru"]


@pytest.mark.parametrize(("op", "fault"), EVERY_OP)
def test_self_check_sees_a_wrong_form(op, fault):
    form = backend.choose(op, "cpu").form

    def wrong(*args, **kwargs):
        found = form.function(*args, **kwargs)
        return (FAULTS[fault](found[0]), *found[1:]) if isinstance(found, tuple) else FAULTS[fault](found)

    error = backend.self_check(backend.Choice(op, form._replace(function=wrong), ""), "cpu")
    assert error > 1e-4


def test_relative_error():
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert backend.relative_error(b, a) == pytest.approx(0.1)
    assert backend.relative_error(a, a) == 0
    assert backend.relative_error(a * math.nan, a) == math.inf


def test_a_seed_means_the_same_in_every_dtype():
    inputs = seeded(lambda normal, n: {"x": normal(n), "y": normal(2, n)})
    wide, narrow = inputs(3, dtype=torch.float64, seed=5), inputs(3, seed=5)
    assert {name: tuple(x.shape) for name, x in narrow.items()} == {"x": (3,), "y": (2, 3)}
    assert all(torch.equal(wide[name].float(), x) for name, x in narrow.items())
    assert not torch.equal(inputs(3, seed=6)["x"], narrow["x"])
