"""The ground in two tables: what each start costs each memory, and which pair the rule takes."""

import math

import pandas as pd

from hmlcore.figures.style import mixer_style
from hmlcore.figures.tables import Table, render, rows_of
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.ground import MIXERS
from hmlcore.studies.kit.figure import TableOf

PAIR = ["width", "norm"]
USED = ("0.02", "head")
"""The pair that was used before the rule had been applied."""


def apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with columns memory, norm and width in place of the variant that says all three."""
    parts = rows["variant"].str.split(" | ", expand=True, regex=False)
    return rows.assign(memory=parts[0], norm=parts[1], width=parts[2])


def losses(results: ResultSet) -> pd.DataFrame:
    """Validation bits, means over seeds and lengths: index task, memory, columns (width, norm).

    Memories without a norm count as they are at every norm.
    """
    rows = apart(tuned(results).metric("bits_per_token", split="validation"))
    table = rows.groupby(["task", "memory", *PAIR])["value"].mean().unstack(PAIR).sort_index(axis=1)
    for width, norm in table.columns:
        table[width, norm] = table[width, norm].fillna(table[width, "head"])
    return table


def standings(results: ResultSet) -> pd.DataFrame:
    """Per pair (index), the best first: mean bits over memories on each task, and the sum of ranks there."""
    means = losses(results).groupby("task").mean().T
    table = means.assign(ranks=means.rank(method="min").sum(axis=1))
    changed = [sum(a != b for a, b in zip(pair, USED, strict=True)) for pair in table.index]
    return table.assign(changed=changed).sort_values(["ranks", "changed"]).drop(columns="changed")


def steps_to_leave(results: ResultSet) -> pd.Series:
    """First step of training with a loss on text below that of token frequencies, by memory and pair.

    The latest of the seeds; infinite where one never had it.
    """
    results = tuned(results).where(task="text")
    plateau = results.metric("unigram_bits", split="validation").set_index("spec_hash")["value"]
    curve = results.metric("loss", split="train")
    below = curve[curve["value"] / math.log(2) < curve["spec_hash"].map(plateau)]
    first = below.groupby("spec_hash")["step"].min()
    runs = results.runs()
    left = apart(runs.assign(step=first.reindex(runs.index).fillna(math.inf)))
    return left.groupby(["memory", *PAIR])["step"].max()


def last_to_leave(left: pd.Series, width: str, norm: str) -> float:
    """The step of :func:`steps_to_leave` at which the last memory left the plateau from that start.

    Memories without a norm count as they are, as in :func:`losses`; of the others only that norm counts.
    """
    memories = left.index.get_level_values("memory").unique()
    return max(left.get((memory, width, norm), left[memory, width, "head"]) for memory in memories)


def ground_losses(results: ResultSet) -> Table:
    """Validation bits of every memory at every start."""
    table = losses(results)
    lines = [
        {"task": task, "memory": _named(memory)}
        | {f"{width}, {norm}": f"{value:.3f}" for (width, norm), value in zip(row.index, row, strict=True)}
        for (task, memory), row in rows_of(table)
    ]
    note = f"{tuned(results).stamp()} · columns: standard deviation of the embedding, norm of reads"
    return render(pd.DataFrame(lines), note=note, caption="The backbone's start: validation bits a token.")


def ground_standings(results: ResultSet) -> Table:
    """What the rule takes, the best pair first, and when it leaves the plateau."""
    table, left = standings(results), steps_to_leave(results)
    lines = []
    for (width, norm), row in rows_of(table):
        last = last_to_leave(left, width, norm)
        lines.append(
            {"embedding": width, "norm": norm}
            | {task: f"{value:.3f}" for task, value in row.items() if task != "ranks"}
            | {"sum of ranks": f"{row['ranks']:g}", "plateau left": "not" if math.isinf(last) else f"{last:g}"}
        )
    note = (
        f"{tuned(results).stamp()} · means over memories; the step at which the last of them left the plateau"
    )
    return render(pd.DataFrame(lines), note=note, caption="The backbone's start: the rule applied.")


def _named(memory: str) -> str:
    """As every table calls a mixer; what has a name of its own here keeps it."""
    return mixer_style(memory).label if memory in MIXERS else memory


TABLES = {
    "ground_losses": TableOf("ground", ground_losses),
    "ground_standings": TableOf("ground", ground_standings),
}
