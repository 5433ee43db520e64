"""The sparse memory in tables: what it costs, what it finds again at the longest distance, and its ladder."""

import pandas as pd

from hmlcore.figures.tables import Table, render, rows_of
from hmlcore.results import ResultSet
from hmlcore.results.statistics import wilson_interval
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import TableOf
from hmlcore.studies.sparse.claims import HEADLINE, TARGETS, WINDOW, asked, seconds
from hmlcore.studies.sparse.rungs import RUNGS

KINDS = ("rare", "common", "semantic", "dictionary", "uuid")


def sparse_costs(results: ResultSet) -> Table:
    """Tokens a second by length, beside the window alone, and what the process held."""
    times, held = (
        seconds(results).sort_index(),
        results.metric("resident_bytes").groupby("length")["value"].max(),
    )
    lines = [
        {"tokens": int(length), "variant": variant, "tokens a second": f"{1 / value:,.0f}",
         "of the window alone": f"{row[WINDOW] / value:.2f}" if WINDOW in row else "",
         "resident MB": f"{held[length] / 1e6:.0f}"}
        for length, row in rows_of(times) for variant, value in row.items()
    ]  # fmt: skip
    note = f"{results.stamp()} · one stream, gates, logits and writes on"
    return render(pd.DataFrame(lines), note=note, caption="A sparse memory beside its window alone.")


def sparse_targets(results: ResultSet) -> Table:
    """At the longest distance: recall of every writer with its interval, the slots it
    changes, and the controls; of several densities the headline's."""
    results = tuned(results)
    rows, control = asked(results), asked(results, "control")
    longest = rows["distance"].max()
    rows = rows[(rows["distance"] == longest) & rows["density"].isin((0.0, HEADLINE, 1.0))]
    control, written = control[control["distance"] == longest], asked(results, "written", distance=longest)
    written = written.groupby(["variant", "gate", "density"])["value"].mean()
    lines = []
    for (variant, gate, density), part in rows.groupby(["variant", "gate", "density"], sort=False):
        line = {"weights": variant, "gate": gate}
        for kind in KINDS:
            own = part[part["kind"] == kind]
            if len(own):
                value, n = float(own["value"].mean()), int(own["n"].sum())
                low, high = wilson_interval(value, n)
                line[kind] = f"{value:.3f} ({low:.3f}–{high:.3f})"
        lines.append(line | {"slots a token": f"{written[variant, gate, density]:.3f}"})
    for name, part in control.groupby("gate", sort=False):
        means = part.groupby("kind")["value"].mean()
        lines.append({"weights": "control", "gate": name} | {k: f"{means[k]:.3f}" for k in KINDS if k in means})
    aims = ", ".join(f"{kind} {target:g}" for kind, target in TARGETS.items())
    apart = all(case.get("apart") for spec in results.specs() for case in spec["ask"]["cases"])
    note = f"{results.stamp()} · {longest:,.0f} tokens between fact and question · Wilson 95 % over "
    note += "facts of its own for every seed" if apart else "the same facts for every seed"
    caption = f"Recall at the longest distance; the source's targets are {aims}."
    return render(pd.DataFrame(lines).fillna(""), note=note, caption=caption)


def sparse_ladder(results: ResultSet) -> Table:
    """The versions of the source, each made again, beside what the source says of them."""
    results = tuned(results)
    rows = asked(results)
    means = rows[rows["gate"] != "masked"].groupby(["variant", "kind"])["value"].mean()
    lines = []
    for rung in RUNGS:
        if rung.name in means:
            line = {"version": rung.name, "goal": rung.goal}
            line |= {kind: f"{means[rung.name][kind]:.3f}" for kind in KINDS if kind in means[rung.name]}
            said = ", ".join(f"{kind} {value:g}" for kind, value in rung.reported.items())
            lines.append(line | {"reported": said})
    note = f"{results.stamp()} · reported: by a metric that presents the answer"
    return render(pd.DataFrame(lines), note=note, caption="The ladder of versions, made again.")


TABLES = {
    "sparse_costs": TableOf("sparse_speed", sparse_costs),
    "sparse_targets": TableOf("sparse_recall", sparse_targets),
    "sparse_far_targets": TableOf("sparse_far", sparse_targets),
    "sparse_ladder": TableOf("sparse_ladder", sparse_ladder),
}
