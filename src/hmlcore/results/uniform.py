"""Whether runs are of one grid: those that a comparison sets side by side differ in what it compares alone."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hmlcore.errors import require
from hmlcore.results.spec import spec_hash

FREE = ("mixer", "seed", "lr", "trace", "model.mixer_args")
"""What runs of one grid may differ in besides its factors: the mixer and its own arguments, the seed, the rate
that is chosen on validation, and whether the run was asked for a trace."""

_NO_FACTORS = {"experiment", "profile", "precision", *FREE}
_ABSENT = "absent"


def check_uniform(specs: Sequence[Mapping], factors: Sequence[str] | None = None) -> None:
    """Raise HmlcoreError unless runs that agree in all `factors` agree in every setting but :data:`FREE`.

    Args:
        specs: of runs of one experiment.
        factors: what tells runs of the grid apart: fields of a spec, of its ``model`` or of its training tasks.
            If not given: every field that holds text, ``d_model``, and the ``corpus`` of the training tasks.

    Raises:
        HmlcoreError: several grids (the message names the setting, its values and how many runs have each), or
            a factor that no spec has.
    """
    if factors is None:
        named = {key for spec in specs for key, value in spec.items() if isinstance(value, str)}
        factors = sorted(named - _NO_FACTORS)
        factors += [name for name in ("d_model", "corpus") if any(_factor(s, name) is not None for s in specs)]
    groups = defaultdict(list)
    for spec in specs:
        groups[tuple(_factor(spec, name) for name in factors)].append(spec)
    for number, name in enumerate(factors):
        require(
            any(key[number] is not None for key in groups) or not specs,
            f"factor {name!r} is in no spec, nor in its model or training tasks",
        )
    for key, group in groups.items():
        settings = [_settings(spec) for spec in group]
        other = next((one for one in settings if one != settings[0]), None)
        if other is not None:
            at = [f"{name}={value}" for name, value in zip(factors, key, strict=True) if value is not None]
            _refuse(group, settings, _gap(settings[0], other), ", ".join(at))


def _factor(spec: Mapping, name: str) -> str | None:
    """The value of a factor as text, None where a run has no such field."""
    for fields in (spec, spec.get("model") or {}):
        if name in fields:
            return _text(fields[name])
    found = {_text(task[name]) for task in spec.get("train") or () if name in task}
    return " and ".join(sorted(found)) or None


def _settings(spec: Mapping) -> dict:
    kept = {key: value for key, value in spec.items() if key not in FREE}
    if isinstance(model := spec.get("model"), Mapping):
        kept["model"] = {key: value for key, value in model.items() if f"model.{key}" not in FREE}
    return kept


def _gap(a: Any, b: Any) -> tuple:
    """Where `a` and `b` first differ: the keys and indices that lead there; a list's length is at "number"."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        key = next(key for key in dict.fromkeys((*a, *b)) if key not in a or key not in b or a[key] != b[key])
        return (key, *(_gap(a[key], b[key]) if key in a and key in b else ()))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return ("number",)
        index = next(index for index, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1])
        return (index, *_gap(a[index], b[index]))
    return ()


def _at(value: Any, where: tuple) -> Any:
    for step in where:
        if isinstance(value, list | tuple):
            value = len(value) if step == "number" else value[step] if step < len(value) else _ABSENT
        else:
            value = value.get(step, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value


def _refuse(group: list[Mapping], settings: list[dict], where: tuple, at: str) -> None:
    values = [_text(_at(one, where))[:60] for one in settings]
    first = {value: spec_hash(spec)[:16] for value, spec in reversed(list(zip(values, group, strict=True)))}
    counts = [f"{value} in {count} (as {first[value]})" for value, count in Counter(values).most_common()]
    name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")
    experiment, profile = group[0]["experiment"], group[0]["profile"]
    require(
        False,
        f"results of {experiment!r} at profile {profile!r} are of several grids: of {len(group)} runs"
        f"{f' with {at}' if at else ''}, {name} is {' and '.join(counts)}; delete those that no grid asks for "
        f"(if packed: hml pack {experiment} --profile {profile} --drop HASH), or name what tells them apart",
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
