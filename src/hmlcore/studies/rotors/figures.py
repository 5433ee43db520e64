"""Counting beyond the training: accuracy against length, what was tried for the rotors, and their towers."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import (
    accuracy_axis,
    add_chance,
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
    room_for_legend,
)
from hmlcore.figures.style import GREY, MixerStyle, mixer_style, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.tuning import at_edge, rates_text, tuned
from hmlcore.studies.kit.figure import SEEDS, Figure, TableOf
from hmlcore.studies.kit.study import trained
from hmlcore.studies.rotors.claims import (
    BASELINES,
    BESIDE_TOWERS,
    FLAT,
    TOWER,
    at,
    fresh,
    rotors,
    solved,
)

CHANCE = {f"sums modulo {m}": 1 / m for m in (3, 5, 6, 7)} | {"parity": 1 / 2}
_SNAPPED = {"snapped": "accuracy_snapped", "as learned": "accuracy"}
_OWN = mixer_style("hml").color
_STYLES = {
    "snapped": MixerStyle("rotors, snapped", _OWN, "circle", "solid"),
    "learned": MixerStyle("rotors, as learned", _OWN, "circle-open", "dot"),
    "delta": MixerStyle("delta, no rotors", GREY, "square", "solid"),
    "gated DeltaNet": MixerStyle(
        "gated DeltaNet, slow start", mixer_style("gated_deltanet").color, "diamond", "dash"
    ),
    "gated DeltaProduct": MixerStyle(
        "gated DeltaProduct", mixer_style("gated_deltanet").color, "diamond-open", "dot"
    ),
    "Mamba-2 + fast rotation": MixerStyle(
        "Mamba-2 + fast rotation", mixer_style("mamba2").color, "square", "dash"
    ),
    "GRU": MixerStyle("GRU", mixer_style("gru").color, "x", "dash"),
}


def counting_by_length(results: ResultSet) -> go.Figure:
    """Accuracy against length, a panel a modulus; rotors as they were learned and snapped, and the baselines.

    Every seed a dot. Dotted: the longest length of training. Dashed grey: chance.
    """
    results = tuned(results)
    own, tasks = rotors(results), [t for t in CHANCE if t in set(at(results)["task"])]
    tasks.sort(key=lambda task: -CHANCE[task])
    fig, cells = panels(tasks, "symbols", "accuracy", height=240)
    lines = {"snapped": (own, "accuracy_snapped"), "learned": (own, "accuracy")}
    lines |= {name: (name, "accuracy") for name in BASELINES}
    for task, where in zip(tasks, cells, strict=True):
        part = results.where(task=task)
        longest = max(trained(part.specs(), "length"))
        add_limit(fig, longest, (0, 1), f"longest of training: {longest}", where)
        lengths = part.metric("accuracy")["length"]
        add_chance(fig, lengths, CHANCE[task], where)
        for line, (variant, metric) in lines.items():
            rows = part.metric(metric)
            rows = rows[rows["variant"] == variant]
            add_seeds(fig, rows, "length", what="accuracy", binomial=True, style=_STYLES[line], where=where)
        axis = doubling_axis(lengths)
        fig.update_xaxes(**axis | {"ticktext": [f"{tick:,.0f}" for tick in axis["tickvals"]]}, **where)
    accuracy_axis(fig)
    fig.update_traces(marker_size=5, selector={"meta": "seeds"})
    return room_for_legend(stamp(fig, results, results.metric("accuracy")["n"]))


def counting_solved(results: ResultSet) -> Table:
    """The share of seeds that solve each modulus at the longest length; what the lattices were."""
    chosen = tuned(results)
    own = rotors(chosen)
    shares = {f"{own}, snapped": solved(chosen, own), f"{own}, as learned": solved(chosen, own, "accuracy")}
    shares |= {name: solved(chosen, name) for name in BASELINES}
    lines = [
        {"memory": name} | {task: f"{share[task]:.0%}" for task in CHANCE if task in share}
        for name, share in shares.items()
    ]
    lattices = chosen.metric("lattice", split="validation", variant=own)["value"].value_counts()
    counted = zip(lattices.index, lattices, strict=True)
    taken = ", ".join(f"{'none' if n == 0 else int(n)} by {count} rotors" for n, count in counted)
    longest = int(at(chosen)["length"].iloc[0])
    note = f"{chosen.stamp()} · at {longest:,} symbols · lattices chosen: {taken}"
    caption = "Sums beyond training: the share of seeds with .99 of the answers right."
    return render(pd.DataFrame(lines), note=note, caption=caption)


def counting_again(results: ResultSet) -> Table:
    """Accuracy by length of rotors trained longer and snapped by longer sums, and the share solved."""
    chosen, lines = tuned(results), []
    own = rotors(chosen)
    for how, metric in _SNAPPED.items():
        share, rows = solved(chosen, own, metric), chosen.metric(metric, variant=own)
        for length, part in rows.groupby("length"):
            means = part.groupby("task")["value"].mean()
            last = length == rows["length"].max()
            lines.append(
                {"rotors": how, "symbols": f"{length:,.0f}"}
                | {t: f"{means[t]:.3f}" + (f" ({share[t]:.0%})" if last else "") for t in CHANCE if t in means}
            )
    caption = "Sums beyond training, trained longer and snapped by longer sums: accuracy, and the share solved."
    return render(pd.DataFrame(lines), note=chosen.stamp(), caption=caption)


def rotor_starts(results: ResultSet) -> Table:
    """What was tried before: bits a symbol on validation, at the better learning rate, the least first."""
    chosen = tuned(results)
    rows = chosen.metric("bits_snapped", split="validation")
    by = rows.groupby(["variant", "task"])["value"].mean().unstack("task")
    by = by.assign(mean=by.mean(axis=1)).sort_values("mean")
    lines = [
        {"memory": name} | {task: f"{value:.3f}" for task, value in row.items()} for name, row in by.iterrows()
    ]
    note = f"{chosen.stamp()} · means over lengths of training and one 16 times as long, after snapping"
    return render(pd.DataFrame(lines), note=note, caption="Rotors and baselines on validation: bits a symbol.")


def towers_solved(results: ResultSet) -> Table:
    """A row a group and memory: the share of fresh seeds that solve its words, and accuracy by length."""
    judged, edge, lines = fresh(tuned(results)), at_edge(results), []
    shown = {f"{name}, {how}": (name, metric) for name in (TOWER, FLAT) for how, metric in _SNAPPED.items()}
    shown |= {name: (name, "accuracy_snapped") for name in BESIDE_TOWERS}
    for group in sorted(set(judged.frame["task"].dropna()), reverse=True):
        part = judged.where(task=group)
        for name, (variant, metric) in shown.items():
            rows = part.metric(metric, variant=variant)
            line = {"group": group, "memory": name, "solved": f"{solved(part, variant, metric)[group]:.0%}"}
            means = rows.groupby("length")["value"].mean()
            line |= {f"{length:,.0f}": f"{value:.3f}" for length, value in means.items()}
            lines.append(line | {"rate": rates_text(rows, edge)})
    note = f"{judged.stamp()} · chance: 1/6 in S3, 1/8 in D4"
    caption = "Words of groups that do not commute: the share of seeds with .99 right at the longest length, "
    return render(pd.DataFrame(lines), note=note, caption=f"{caption}and accuracy by length.")


FIGURES = {
    "counting_by_length": Figure(
        "rotor_counting",
        counting_by_length,
        "Counting beyond the training: accuracy against length, a panel a modulus. Rotors are shown as they "
        f"were learned and snapped. Dotted: the longest of training; dashed grey: chance. {SEEDS}",
    )
}
TABLES = {
    "counting_solved": TableOf("rotor_counting", counting_solved),
    "counting_again": TableOf("rotor_counting_again", counting_again),
    "rotor_starts": TableOf("rotor_starts", rotor_starts),
    "towers_solved": TableOf("rotor_towers", towers_solved),
}
