"""Which runs of a grid are meant, and what a run is called."""

from collections.abc import Iterable

from hmlcore.errors import require, unknown
from hmlcore.studies import get_experiment
from hmlcore.studies.kit.study import EVERY_RUN, field_values


def fields_of(specs: list[dict]) -> list[str]:
    """The fields that tell runs of `specs` apart: the factors of their experiments."""
    factors = (
        f for name in dict.fromkeys(s["experiment"] for s in specs) for f in get_experiment(name).factors
    )
    return list(dict.fromkeys((*EVERY_RUN, "d_model", "layers", *factors)))


def select(
    specs: list[dict], only: dict[str, list[str]] | None = None, seeds: Iterable[int] | None = None
) -> list[dict]:
    """The specs that match: `only` maps a spec or model field, or a task knob, to allowed values.

    Raises: HmlcoreError for a field or value that the grid does not have, listing those it has.
    """
    for key, wanted in (only or {}).items():
        values = {id(s): field_values(s, key) for s in specs}
        known = set().union(*values.values()) if values else set()
        if not known:
            present = [f for f in fields_of(specs) if any(field_values(s, f) for s in specs)]
            raise unknown("field in --only", key, present)
        for value in wanted:
            if value not in known:
                raise unknown(f"{key} in --only", value, known)
        specs = [s for s in specs if values[id(s)] & set(wanted)]
    if seeds is not None:
        known_seeds = sorted({s["seed"] for s in specs})
        for seed in seeds:
            require(seed in known_seeds, f"seed {seed} is not in the grid; known: {known_seeds}")
        specs = [s for s in specs if s["seed"] in set(seeds)]
    require(len(specs) > 0, "no run of the grid matches all of --only and --seeds together")
    return specs


def label(spec: dict) -> str:
    """A run for people: experiment, mixer and what tells it apart."""
    parts = [spec["experiment"], spec["mixer"], f"d={spec['model']['d_model']}"]
    for factor in get_experiment(spec["experiment"]).factors:
        if factor != "d_model":
            parts += sorted(field_values(spec, factor))
    parts += [f"lr={spec['lr']:g}"] if "lr" in spec else []
    return " ".join([*parts, f"seed={spec['seed']}"])
