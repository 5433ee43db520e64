"""Which implementation of an op runs, decided once and here; no other file asks about CUDA.

An op is registered with its forms, fastest first, each with a test of whether it can run here.
``naive`` is always last and always available: it is the law. ``HMLCORE_BACKEND`` overrides the choice.

A kernel of another package answers for itself: its first use in a process on a device is compared with
naive at a tiny size, and where it is wrong or fails, a warning says so and the next form runs instead.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from hmlcore.checks import check_choice, check_optional, check_text
from hmlcore.errors import HmlcoreError, unknown

# Told why it cannot run here, or None if it can.
Obstacle = Callable[[torch.device], str | None]


class Form(NamedTuple):
    """One implementation of an op."""

    name: str
    function: Callable
    obstacle: Obstacle
    why: str  # what it is, for the reader of `hml doctor`
    kernel: bool = False  # foreign code: checked against naive on its first use
    tolerance: float = 1e-4  # relative error that its precision explains; a wrong form is off by far more
    unfit: Callable[..., str | None] | None = None  # told the op's tensors: why it cannot take them, or None


class Choice(NamedTuple):
    """The form an op will use, and the reason."""

    op: str
    form: Form
    reason: str


_FORMS: dict[str, list[Form]] = {}
_CHECKS: dict[str, Callable[[Callable, Callable, torch.device], float]] = {}
_VERDICTS: dict[tuple[str, str, str], tuple[bool, str]] = {}  # (op, form, device) → trusted, what was found
_WARNED: set[str] = set()
_RECORDS: list[dict[str, str]] = []  # of :func:`recording_choices`


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


def choose(
    op: str,
    device: torch.device | str | None = None,
    backend: str | None = None,
    given: tuple[object, ...] = (),
) -> Choice:
    """The form of `op` for `device`: `backend`, else ``$HMLCORE_BACKEND``, else the fastest that runs.

    ``HMLCORE_BACKEND`` is one name for all ops (``naive``) or pairs (``hamiltonian=naive,attention=sdpa``);
    an op that has no form of the one name keeps its default.
    A form that cannot take the tensors `given` (its dtype, its sizes) is passed over like one that cannot run.
    A kernel that fails its first-use check is passed over with a RuntimeWarning; one asked for by name is
    used all the same, with the same warning.
    Raises: HmlcoreError for an unknown op or form, or a named form that cannot run on `device`.
    """
    check_choice("op", op, _FORMS)
    backend = check_optional("backend", backend, check_text)
    device = torch.device(device) if device is not None else default_device()
    forms = {form.name: form for form in _FORMS[op]}
    asked, source = (backend, "asked for by the caller") if backend else _from_environment(op, forms)
    if asked:
        if asked not in forms:
            raise unknown(f"backend of op {op!r}", asked, forms)
        form = forms[asked]
        if problem := _problem(form, device, given):
            raise HmlcoreError(f"backend {asked!r} of op {op!r} cannot run on {device}: {problem}")
        trusted, found = _verdict(op, form, device)
        if not trusted:
            _warn(f"op {op!r}: form {asked!r} on {device} {found}; it runs all the same ({source})")
        return _noted(Choice(op, form, f"{source}; {found}" if found else source))
    passed, distrusted = [], []
    for form in forms.values():
        if problem := _problem(form, device, given):
            passed.append((form.name, problem))
            continue
        trusted, found = _verdict(op, form, device)
        if not trusted:
            passed.append((form.name, found))
            distrusted.append((form.name, found))
            continue
        for name, wrong in distrusted:
            _warn(f"op {op!r}: form {name!r} on {device} {wrong}; {form.name!r} runs instead")
        skipped = "".join(f"; not {name}: {why}" for name, why in passed)
        return _noted(Choice(op, form, f"{form.why}{f'; {found}' if found else ''}{skipped}"))
    raise AssertionError("naive runs everywhere")


@contextmanager
def recording_choices() -> Iterator[dict[str, str]]:
    """Yields a dictionary that fills with op → name of its form, for every :func:`choose` inside the block."""
    record: dict[str, str] = {}
    _RECORDS.append(record)
    try:
        yield record
    finally:
        _RECORDS[:] = [r for r in _RECORDS if r is not record]


def _noted(choice: Choice) -> Choice:
    for record in _RECORDS:
        record[choice.op] = choice.form.name
    return choice


def _problem(form: Form, device: torch.device, given: tuple) -> str | None:
    return form.obstacle(device) or (form.unfit(*given) if form.unfit and given else None)


def _constant(function: Callable) -> Callable:
    """Under torch.compile `function` runs while the graph is built, not in it: what
    `torch.compiler.assume_constant_result` says, without importing the compiler, which takes longer than all of
    torch."""
    function._dynamo_marked_constant = True
    return function


def _verdict(op: str, form: Form, device: torch.device) -> tuple[bool, str]:
    """Whether `form` may be trusted on `device`, and what its check found; a kernel is checked once."""
    return _checked_once(op, form.name, str(device)) if form.kernel else (True, "")


@_constant
def _checked_once(op: str, name: str, device: str) -> tuple[bool, str]:
    key = (op, name, device)
    if key not in _VERDICTS:
        _VERDICTS[key] = True, ""  # in case the check comes by here again
        form = next(form for form in _FORMS[op] if form.name == name)
        try:
            error = self_check(Choice(op, form, ""), device)
            good = error <= form.tolerance
            found = f"is {'within' if good else 'off by'} {error:.1e} of naive (allowed {form.tolerance:g})"
        except Exception as failure:  # whatever another package raises
            good, found = False, f"fails with {type(failure).__name__}: {str(failure)[:200]}"
        _VERDICTS[key] = good, found
    return _VERDICTS[key]


@_constant
def _warn(message: str) -> None:
    """Once a process: an op is chosen at every call."""
    if message not in _WARNED:
        _WARNED.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=4)


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
    pairs: dict[str, str] = {name: form for name, form in parts}
    for name in pairs:
        if name not in _FORMS:
            raise unknown("op in HMLCORE_BACKEND", name, _FORMS)
    return pairs.get(op), source


def self_check(choice: Choice, device: torch.device | str | None = None) -> float:
    """Largest relative error of the chosen form against ``naive`` at a tiny size, on `device`.

    Whatever the caller is in (autocast, no_grad, a seeded run) neither changes the check nor is changed by it.
    """
    device = torch.device(device) if device is not None else default_device()
    naive = _FORMS[choice.op][-1].function
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # the form is checked, not TF32
        torch.random.fork_rng([device] if device.type == "cuda" else []),
    ):
        return _CHECKS[choice.op](choice.form.function, naive, device)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """‖found − wanted‖ / ‖wanted‖ over all elements, in float64; infinite where it is NaN."""
    found, wanted = found.detach().double().cpu(), wanted.detach().double().cpu()
    error = float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))
    return math.inf if math.isnan(error) else error  # max() of several would pass over a NaN
