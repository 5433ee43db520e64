"""HAMT-1 to HAMT-15, what the system's source promises: where each is, and what became of what it claims.

Whether something is there is looked up, not typed: every place is imported by its name.
"""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from hmlcore.errors import require
from hmlcore.studies.kit.standing import WAITS

_LAYER = "hmlcore.layers.holographic.Holographic"
_OURS = "hmlcore.studies.holographic"


class Item(NamedTuple):
    """What is asked; the dotted names it is found at; the claims that judge it; what is missing."""

    asked: str
    places: tuple[str, ...]
    claims: tuple[str, ...] = ()
    lacking: str = ""


ITEMS = (
    Item("elementwise binding", ("hmlcore.ops.holographic.bind", "hmlcore.ops.holographic.keys_of_signs"),
         ("holographic_capacity.recall_follows_the_law", "holographic_capacity.bindings_hold_the_same")),
    Item("binding by circular convolution", ("hmlcore.ops.holographic.unbind",),
         ("holographic_ablation.convolution_learns_what_phases_learn",)),
    Item("slots", (f"{_LAYER}.forward", "hmlcore.layers.holographic.parts.Router"),
         ("holographic_capacity.slots_hold_no_more",)),
    Item("retrieval by a learned key", (f"{_LAYER}.step", "hmlcore.layers.holographic.parts.Lift"),
         ("holographic_tasks.it_recalls_as_well_as_any", "holographic_ablation.redrawn_keys_carry_nothing")),
    Item("gates", (f"{_LAYER}.gates", f"{_OURS}.slots.slot_gates"), ("holographic_tasks.it_cannot_overwrite",)),
    Item("an auxiliary loss of recall", (f"{_LAYER}.auxiliary", "hmlcore.training.auxiliary"),
         ("holographic_ablation.a_loss_at_random_lags_helps",)),
    Item("normalisation: of the state in the source, of the read here",
         ("hmlcore.layers.holographic.HolographicLegacy.forward", "hmlcore.layers.read_out.head_norm")),
    Item("decay: none, passive, learned, fast and slow", ("hmlcore.layers.holographic.parts.fixed_decay",)),
    Item("training: quick and full, on WikiText-2, in pieces, clipped, with checkpoints and logs",
         ("hmlcore.training.train", "hmlcore.training.tbptt", "hmlcore.training.checkpoint",
          "hmlcore.tasks.wikitext.open_wikitext"),
         ("holographic_tasks.it_replaces_attention_on_text",)),
    Item("evaluation, a look at slots, generation, a benchmark",
         ("hmlcore.evaluation.metrics.evaluate", f"{_OURS}.portrait.trace",
          "hmlcore.models.generation.generate", f"{_OURS}.cost.measure_all")),
    Item("sizes of 21 to 100 million parameters, lengths up to 2,048", (f"{_OURS}.sizes.measure_all",)),
    Item("five figures: norms, utilisation, predictions, layers, cost",
         (f"{_OURS}.slots.slot_norms", f"{_OURS}.slots.slots_used", f"{_OURS}.slots.answer_chances",
          f"{_OURS}.slots.norms_by_block", f"{_OURS}.figures.holographic_cost")),
    Item("a package, configurations, documents, a notebook, examples",
         ("hmlcore.models.hf.HmlConfig", "hmlcore.layers.build_mixer", "hmlcore.explorers.widgets")),
    Item("next: slots of two speeds, mixed precision, several devices, fewer bits, ablations, a transformer",
         ("hmlcore.layers.holographic.parts.fixed_decay", "hmlcore.training.autocast",
          "hmlcore.training.distributed", f"{_OURS}.capacity.stored_as", f"{_OURS}.grid.parts_grid",
          "hmlcore.layers.attention"),
         ("holographic_capacity.a_byte_a_number_is_enough",),
         "consolidation, falling back to attention, kernels of its own, a server"),
    Item("its table of costs, made again", (f"{_OURS}.cost.measure_all",),
         ("holographic_cost.described_is_cheaper", "holographic_cost.decoding_overtakes_attention")),
)  # fmt: skip


def checklist(decided: Mapping[str, str]) -> pd.DataFrame:
    """A row an item: its name, what is asked, where to look, and whether it is there or what was decided.

    Args: decided, claim → what came of it, of those that are decided.
    """
    return pd.DataFrame(
        {
            "item": f"HAMT‑{number}", "asked": item.asked,  # a hyphen at which no line is broken
            "where": ", ".join(".".join(place.split(".")[-2:]) for place in item.places),
            "state": "; ".join(_states(item, decided)),
        }
        for number, item in enumerate(ITEMS, 1)
    )  # fmt: skip


def _states(item: Item, decided: Mapping[str, str]) -> list[str]:
    absent = [place for place in item.places if not is_there(place)]
    states = [f"no {', '.join(absent)}" if absent else "there"]
    states += [f"not there: {item.lacking}"] if item.lacking else []
    words = {name: name.partition(".")[2].replace("_", " ") for name in item.claims}
    return states + [f"{words[name]}: {decided.get(name, WAITS)}" for name in item.claims]


def is_there(place: str) -> bool:
    """Whether a dotted name can be imported: a module, or what is in one."""
    parts = place.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError as error:
            require(error.name is not None and place.startswith(error.name), f"{place}: {error}")
            continue
        for name in parts[count:]:
            found = getattr(found, name, None)
        return found is not None
    return False
