"""The settings of ListOps and Text as a table, a column a task and profile; nothing in it is measured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from hmlcore.figures.style import DIRECTIONS
from hmlcore.figures.tables import Table, render


def lra_setup(grids: Mapping[str, Sequence[Mapping]]) -> Table:
    """What the models are, read and are asked: column title → the specs of a grid. Needs no results."""
    frame = pd.DataFrame({title: _setup(specs) for title, specs in grids.items()})
    frame = frame.rename_axis("").reset_index()
    return render(frame, note="from the settings; nothing here is measured", caption="Settings of both tasks.")


def _setup(specs: Sequence[Mapping]) -> dict[str, str]:
    one = specs[0]
    rates, seeds = defaultdict(set), set()
    for spec in specs:
        rates[spec["direction"]].add(spec["lr"])
        seeds.add(spec["seed"])
    tests = [entry for entry in one["evaluate"] if entry["split"] == "test"]
    held = [entry for entry in one["evaluate"] if entry["split"] == "validation"]
    tried = [f"{', '.join(f'{lr:g}' for lr in sorted(rates[way]))} {way}" for way in DIRECTIONS if rates[way]]
    return {
        "layers and width": f"{one['model']['layers']} of {one['model']['d_model']}",
        "parameters, all mixers": f"{one['model']['target_parameters']:,}",
        "read in training, at most": _lengths(one["train"]),
        "training": f"{one['steps']:,} steps of {one['batch_size']}",
        "sequences seen in training": f"{one['steps'] * one['batch_size']:,}",
        "learning rates tried": "; ".join(tried),
        "seeds": str(len(seeds)),
        "read in the test, at most": _lengths(tests),
        "sequences of the test": f"{tests[0]['examples']:,}",
        "sequences that choose the rate": f"{sum(entry['examples'] for entry in held):,}",
    }


def _lengths(tasks: Sequence[Mapping]) -> str:
    return ", ".join(f"{length:,}" for length in sorted({task["max_length"] for task in tasks}))
