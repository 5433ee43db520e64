"""What tuning chose and tried, as ``rates.json`` keeps it, and which rates a case's grid tries next. No torch.

The file is profile → experiment → case → mixer → ``{"lr": chosen, "tried": [...], "seeds": [...]}``, with
``"best": false`` where another configuration of the case is better; a plain number, the rate alone, is read as
well, and then what was tried is not known.

Where the best rate lies at the edge of what was tried, a grid tries one further, by the same ratio, at most
:data:`EXTENSIONS` times: `hml tune`, `hml run` and `hml tune` again end with a best rate inside, or with one
that is at the edge and is said to be.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hmlcore.checks import check_list, check_positive
from hmlcore.errors import HmlcoreError, shown

EXTENSIONS = 2


class Tuned(NamedTuple):
    """A mixer's chosen rate in a case, the rates that were tried, ascending, the seeds that tried all, and
    whether it is the best of the configurations among which an experiment chooses."""

    lr: float
    tried: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    best: bool = True

    @property
    def edge(self) -> int:
        """1 where the chosen rate is the largest of several, −1 where it is the smallest, else 0."""
        if len(self.tried) < 2:
            return 0
        return 1 if self.lr == max(self.tried) else -1 if self.lr == min(self.tried) else 0


def read_tuned(folder: Path) -> dict[str, dict[str, dict[str, dict[str, Tuned]]]]:
    """What tuning chose for the study in `folder`: profile → experiment → case → mixer → :class:`Tuned`.

    Raises: HmlcoreError for a file that is none of tuning.
    """
    path = folder / "rates.json"
    if not path.is_file():
        return {}
    try:
        return {
            profile: {
                name: {
                    case: {mixer: _tuned(value) for mixer, value in mixers.items()}
                    for case, mixers in cases.items()
                }
                for name, cases in names.items()
            }
            for profile, names in json.loads(path.read_text("utf-8")).items()
        }
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise HmlcoreError(f"{path} holds no rates that tuning chose: {error}") from error


def as_stored(found: Tuned) -> dict:
    """What ``rates.json`` keeps of one mixer in one case."""
    stored = {"lr": found.lr, "tried": list(found.tried), "seeds": list(found.seeds)}
    return stored if found.best else stored | {"best": False}


def rates_to_try(base: Sequence[float], tuned: Tuned | None) -> list[float]:
    """The rates that a case's grid tries, ascending: `base`, those that were tried beyond it, and one further
    where an edge won and fewer than :data:`EXTENSIONS` lie beyond `base`.

    Args: tuned, what ``rates.json`` has of the mixer in the case; None before tuning.
    Raises: HmlcoreError for rates that are not above 0, or none.
    """
    rates = set(check_list("base", base, check_positive))
    if tuned is None or not rates <= set(tuned.tried):
        return sorted(rates | set(tuned.tried if tuned else ()))
    further = next_rate(tuned) if len(set(tuned.tried) - rates) < EXTENSIONS else None
    return sorted({*tuned.tried} | ({further} if further else set()))


def rates_due(base: Sequence[float], tuned: Tuned | None, tunes: bool) -> list[float]:
    """The rates a seed is run at: those of :func:`rates_to_try` where it is one that tunes, else the chosen
    one; before tuning, the middle one of `base`."""
    if tunes:
        return rates_to_try(base, tuned)
    return [tuned.lr if tuned else sorted(base)[len(base) // 2]]


def next_rate(tuned: Tuned) -> float | None:
    """The rate beyond the edge that won: as far from it as it is from its neighbour, rounded to 1 or 3 times a
    power of ten; None where the best lies inside.

    lr′ = lr·(lr / neighbour)
    """
    if not tuned.edge:
        return None
    ordered = sorted(tuned.tried, reverse=tuned.edge < 0)
    step = round(2 * math.log10(ordered[-1] ** 2 / ordered[-2]))
    while (_rung(step) - tuned.lr) * tuned.edge <= 0 or math.isclose(_rung(step), tuned.lr):
        step += tuned.edge
    return _rung(step)


def _rung(step: int) -> float:
    """1, 3, 10, 30, …: rung 0 is 1, two rungs are a power of ten."""
    return float(f"{3 if step % 2 else 1}e{step // 2}")


def _tuned(value: object) -> Tuned:
    if isinstance(value, Mapping):
        best = value.get("best", True)
        if not isinstance(best, bool):
            raise ValueError(f"{shown(best)} is neither true nor false")
        return Tuned(
            float(value["lr"]), tuple(map(float, value["tried"])), tuple(map(int, value["seeds"])), best
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Tuned(float(value))
    raise ValueError(f"{shown(value)} is no rate")
