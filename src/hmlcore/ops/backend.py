"""Which implementation of an op runs, decided once and here; no other file asks about CUDA.

An op is registered with its forms, fastest first, each with a test of whether it can run here.
``naive`` is always last and always available: it is the law. ``HMLCORE_BACKEND`` overrides the choice.
"""

import math
import os
from collections.abc import Callable
from typing import NamedTuple

import torch

from hmlcore.errors import HmlcoreError, unknown

# Told why it cannot run here, or None if it can.
Obstacle = Callable[[torch.device], str | None]


class Form(NamedTuple):
    """One implementation of an op."""

    name: str
    function: Callable
    obstacle: Obstacle
    why: str  # what it is, for the reader of `hml doctor`


class Choice(NamedTuple):
    """The form an op will use, and the reason."""

    op: str
    form: Form
    reason: str


_FORMS: dict[str, list[Form]] = {}
_CHECKS: dict[str, Callable[[Callable, Callable, torch.device], float]] = {}


def anywhere(_: torch.device) -> str | None:
    """The obstacle of a form that runs on every device: none."""
    return None


def register(op: str, forms: list[Form], check: Callable[[Callable, Callable, torch.device], float]) -> None:
    """Register `op`: its forms, fastest first and ``naive`` last, and a self-check.

    `check(form, naive, device)` runs both at a tiny size and returns the largest relative error of
    outputs and gradients.
    """
    assert forms[-1].name == "naive"
    _FORMS[op], _CHECKS[op] = forms, check


def ops() -> list[str]:
    """The names of all registered ops."""
    return sorted(_FORMS)


def default_device() -> torch.device:
    """The device that runs use unless told otherwise: CUDA where there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose(op: str, device: torch.device | str | None = None, backend: str | None = None) -> Choice:
    """The form of `op` for `device`: `backend`, else ``$HMLCORE_BACKEND``, else the fastest that runs.

    ``HMLCORE_BACKEND`` is one name for all ops (``naive``) or pairs (``hamiltonian=naive,attention=sdpa``);
    an op that has no form of the one name keeps its default.
    Raises: HmlcoreError for an unknown op or form, or a named form that cannot run on `device`.
    """
    if op not in _FORMS:
        raise unknown("op", op, _FORMS)
    device = torch.device(device) if device is not None else default_device()
    forms = {form.name: form for form in _FORMS[op]}
    asked, source = (backend, "asked for by the caller") if backend else _from_environment(op, forms)
    if asked:
        if asked not in forms:
            raise unknown(f"backend of op {op!r}", asked, forms)
        if problem := forms[asked].obstacle(device):
            raise HmlcoreError(f"backend {asked!r} of op {op!r} cannot run on {device}: {problem}")
        return Choice(op, forms[asked], source)
    passed = []
    for form in forms.values():
        problem = form.obstacle(device)
        if problem is None:
            skipped = "".join(f"; not {name}: {why}" for name, why in passed)
            return Choice(op, form, f"{form.why}{skipped}")
        passed.append((form.name, problem))
    raise AssertionError("naive runs everywhere")


def _from_environment(op: str, forms: dict[str, Form]) -> tuple[str | None, str]:
    setting = os.environ.get("HMLCORE_BACKEND", "").strip()
    if not setting:
        return None, ""
    source = f"HMLCORE_BACKEND={setting}"
    if "=" not in setting:
        everywhere = {form.name for registered in _FORMS.values() for form in registered}
        if setting not in everywhere:
            raise unknown("backend in HMLCORE_BACKEND", setting, everywhere)
        return (setting if setting in forms else None), source
    parts = [tuple(side.strip() for side in part.split("=")) for part in setting.split(",")]
    if any(len(part) != 2 for part in parts):
        raise HmlcoreError(f"HMLCORE_BACKEND takes one name or OP=NAME[,OP=NAME...], got {setting!r}")
    pairs = dict(parts)
    for name in pairs:
        if name not in _FORMS:
            raise unknown("op in HMLCORE_BACKEND", name, _FORMS)
    return pairs.get(op), source


def self_check(choice: Choice, device: torch.device | str | None = None) -> float:
    """Largest relative error of the chosen form against ``naive`` at a tiny size, on `device`."""
    device = torch.device(device) if device is not None else default_device()
    naive = _FORMS[choice.op][-1].function
    return _CHECKS[choice.op](choice.form.function, naive, device)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """‖found − wanted‖ / ‖wanted‖ over all elements, in float64; infinite where it is NaN."""
    found, wanted = found.detach().double().cpu(), wanted.detach().double().cpu()
    error = float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))
    return math.inf if math.isnan(error) else error  # max() of several would pass over a NaN
