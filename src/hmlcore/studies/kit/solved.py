"""How many seeds learn a task, and how soon: of runs that end once they have solved it. No torch."""

import math

import pandas as pd

from hmlcore.figures.style import in_order, mixer_style
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned

_METRICS = ("solved", "steps_to_90")


def solved_frame(results: ResultSet) -> pd.DataFrame:
    """One row a case and mixer, at the chosen learning rates; a case is a value of each of the factors.

    Columns: the factors, mixer, seeds, solved (the share of seeds that reached the accuracy at which training
    ends), steps_to_90 (the median over seeds of the steps to .9 of training accuracy, ∞ where it is in those
    that never got there). Cases without `solved_at` are left out.
    Raises: HmlcoreError where no run has it, or where rates cannot be compared yet.
    """
    chosen = tuned(results)
    runs = chosen.runs()
    by = [name for name in (results.tuning.by if results.tuning else ()) if name in runs]
    for name in _METRICS:
        runs[name] = chosen.metric(name, split="train").set_index("spec_hash")["value"]
    runs = runs.dropna(subset=list(_METRICS))
    place = {mixer: number for number, mixer in enumerate(in_order(runs["mixer"]))}
    runs = runs.assign(place=runs["mixer"].map(place))
    lines = []
    for (*case, _, mixer), seeds in runs.groupby([*by, "place", "mixer"], dropna=False):
        line = dict(zip(by, case, strict=True)) | {"mixer": mixer, "seeds": len(seeds)}
        lines.append(line | {"solved": seeds["solved"].mean(), "steps_to_90": seeds["steps_to_90"].median()})
    return pd.DataFrame(lines)


def solved_table(results: ResultSet) -> Table:
    """:func:`solved_frame` for readers: ``4 of 5`` seeds, and "never" for an infinite median."""
    frame, chosen = solved_frame(results), tuned(results)
    levels = {spec["solved_at"] for spec in chosen.specs() if "solved_at" in spec}
    at = " or ".join(f"{level:g}" for level in sorted(levels))
    counts = zip(frame["solved"], frame.pop("seeds"), strict=True)
    frame["mixer"] = [mixer_style(mixer).label for mixer in frame["mixer"]]
    frame["solved"] = [f"{round(share * seeds)} of {seeds}" for share, seeds in counts]
    steps = frame.pop("steps_to_90")
    frame["median steps to 90 %"] = ["never" if math.isinf(x) else f"{x:,.0f}" for x in steps]
    note = (
        f"{chosen.stamp()}. Solved: training accuracy {at} on every task of the mix, after which training ends"
    )
    return render(frame, note=note, caption=f"Seeds that solve the tasks of {results.experiment}, and when.")
