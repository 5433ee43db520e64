"""What the stored runs cost: hours of one process, an experiment a line and all together. No torch."""

from collections.abc import Sequence

import pandas as pd

from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet

SECONDS = 3600


def costs(results: Sequence[ResultSet]) -> pd.DataFrame:
    """One row an experiment, in their order, and a last one, "all": experiment, runs, hours of training or
    measuring by one process each, and the devices."""
    lines = []
    for part in results:
        runs = part.runs()
        devices = ", ".join(sorted({"CPU" if name == "cpu" else name for name in runs["device"].dropna()}))
        hours = float(runs["wall_s"].sum()) / SECONDS
        lines.append({"experiment": part.experiment, "runs": len(runs), "hours": hours, "device": devices})
    frame = pd.DataFrame(lines, columns=["experiment", "runs", "hours", "device"])
    every = ", ".join(sorted({name for text in frame["device"] for name in text.split(", ")}))
    frame.loc[len(frame)] = ["all", int(frame["runs"].sum()), float(frame["hours"].sum()), every]
    return frame


def cost_table(results: Sequence[ResultSet]) -> Table:
    """:func:`costs` for readers."""
    frame = costs(results)
    frame = frame.assign(hours=[f"{hours:.1f}" for hours in frame["hours"]])
    profiles = ", ".join(sorted({part.profile for part in results}))
    note = f"{profiles} profile · hours of training or timing by one process, without evaluation"
    return render(frame, note=note, caption="What the stored runs cost.")
