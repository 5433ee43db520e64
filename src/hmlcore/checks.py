"""Checks of arguments, for the head of every public constructor and function.

Each refuses what does not fit at once, in one line that names the argument and the value, and returns the rest
as plain Python, so that a number of numpy or torch is as good as any.
"""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

from hmlcore.errors import HmlcoreError, require, shown, unknown

LARGEST = 2**31 - 1
"""Of a size: two of them multiply within 64 bits, and more is a slip, refused before anything is allocated."""

LARGEST_SEED = 2**63 - 1


def check_int(name: str, value: object, low: int = 1, high: int = LARGEST) -> int:
    """An integer within low … high; truth values are none."""
    number = _plain(value)
    if not isinstance(number, int) or isinstance(number, bool):
        raise _refusal(name, f"an integer of at least {low}", value)
    if number < low:
        raise _refusal(name, f"at least {low}", number)
    if number > high:
        raise _refusal(name, f"at most {high}", number)
    return number


def check_seed(name: str, value: object) -> int:
    """An integer that any generator of random numbers takes."""
    return check_int(name, value, 0, LARGEST_SEED)


def check_number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number within low … high, an integer or not; as it was given, since specs tell 1 from 1.0."""
    number = _plain(value)
    if not _is_finite(number) or not low <= number <= high:
        raise _refusal(name, _bounds(low, high), value)
    return number


def check_positive(name: str, value: object, high: float = math.inf) -> float:
    """A finite number above 0 and at most `high`."""
    number = _plain(value)
    if not _is_finite(number) or not 0 < number <= high:
        raise _refusal(name, f"above 0 and {f'at most {high:g}' if high < math.inf else 'finite'}", value)
    return number


def check_bool(name: str, value: object) -> bool:
    """True or False, and no number in place of them."""
    truth = _plain(value)
    if not isinstance(truth, bool):
        raise _refusal(name, "True or False", value)
    return truth


def check_text(name: str, value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or value == "":
        raise _refusal(name, "a text", value)
    return value


def check_choice(name: str, value: object, known: Collection[str]) -> str:
    """One of the `known` words."""
    if not isinstance(value, str) or value not in known:
        raise unknown(name, value, known)
    return value


def check_instance(name: str, value: object, kind: type) -> Any:
    """An object of that class."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise _refusal(name, f"{article} {kind.__name__}", value)
    return value


def check_function(name: str, value: object) -> Callable:
    """What can be called."""
    if not callable(value):
        raise _refusal(name, "a function", value)
    return value


def check_sentence(name: str, value: object) -> str | Callable:
    """A text, or a function that makes one."""
    return value if callable(value) else check_text(name, value)


def check_tuple(name: str, values: object, check: Callable, *bounds: Any) -> tuple:
    """Several values, or none, each of which `check(name, value, *bounds)` lets pass."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | dict):
        raise _refusal(name, "a list", values)
    if getattr(values, "ndim", 1) != 1:
        raise _refusal(name, "a list", values)
    return tuple(check(f"each of {name}", value, *bounds) for value in values)


def check_list(name: str, values: object, check: Callable, *bounds: Any) -> list:
    """The same of at least one value, as a list."""
    found = check_tuple(name, values, check, *bounds)
    require(len(found) > 0, f"{name} must not be empty")
    return list(found)


def check_arguments(name: str, values: object) -> dict[str, Any]:
    """Arguments by name."""
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise _refusal(name, "a dictionary of names", values)
    return {key: _plain(value) for key, value in values.items()}


def check_optional(name: str, value: object, check: Callable, *bounds: Any) -> Any:
    """None, or what `check(name, value, *bounds)` lets pass."""
    return None if value is None else check(name, value, *bounds)


def check_fields(instance: object, **checks: tuple) -> None:
    """Check fields of a frozen dataclass, each by ``(check, *bounds)``, and keep the plain values in them."""
    for name, (check, *bounds) in checks.items():
        object.__setattr__(instance, name, check(name, getattr(instance, name), *bounds))


def _refusal(name: str, wanted: str, value: object) -> HmlcoreError:
    return HmlcoreError(f"{name} must be {wanted}, got {shown(value)}")


def _plain(value: Any) -> Any:
    """A scalar of numpy or torch as the Python number that it is."""
    if type(value) in (int, float):  # most are, and a compiler that traces this sees no more
        return value
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _bounds(low: float, high: float) -> str:
    if high == math.inf:
        return "finite" if low == -math.inf else f"at least {low:g} and finite"
    return f"finite and at most {high:g}" if low == -math.inf else f"between {low:g} and {high:g}"


def _is_finite(number: object) -> bool:
    try:
        return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    except OverflowError:  # an integer beyond every float
        return False
