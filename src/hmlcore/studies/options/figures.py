"""The options in two tables: standings, and what each option brings over the same without it."""

import pandas as pd

from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.statistics import PairedDifference
from hmlcore.results.tuning import at_edge, tuned
from hmlcore.studies.kit.figure import TableOf
from hmlcore.studies.kit.scores import FAMILIES
from hmlcore.studies.options import CANDIDATES
from hmlcore.studies.options.standings import default, effects, standings

_PAIRS = {
    "oscillator": ("oscillator", "delta"),
    "rotors": ("delta + rotors", "delta"),
    "skip": ("delta + skip", "delta"),
    "channel decay": ("delta + channel decay", "delta"),
    "two corrections": ("delta + two corrections", "delta"),
    "oscillator, beside rotors and skip": ("oscillator + rotors + skip", "delta + rotors + skip"),
    "skip, of gated DeltaNet": ("gated DeltaNet + skip", "gated DeltaNet"),
    "channel decay, of gated DeltaNet": ("gated DeltaNet + channel decay", "gated DeltaNet"),
    "two corrections, of gated DeltaNet": ("gated DeltaNet + two corrections", "gated DeltaNet"),
}
"""Option → with it, and the same without it."""


def option_standings(results: ResultSet) -> Table:
    """The candidates by mean rank, and whom the rule makes the default."""
    table, chosen = standings(results), default(standings(results))
    lines = [
        {"candidate": f"{name} ←" if name == chosen else name, "options": len(CANDIDATES[str(name)])}
        | {family: f"{abs(row[family]):.3f}" for family in FAMILIES}
        | {"mean rank": f"{row['mean rank']:.2f}"}
        for name, row in table.iterrows()
    ]
    edges = f"{len(at_edge(results))} of {len(tuned(results).hashes)} runs are at the edge of the rates tried"
    note = f"{tuned(results).stamp()} · validation · accuracy, of books bits a byte · ←: the rule's default"
    note += f" · {edges}"
    return render(pd.DataFrame(lines), note=note, caption="The second bake-off: candidates by mean rank.")


def option_effects(results: ResultSet) -> Table:
    """What each option brings in every family, at equal parameters and floats of memory."""
    lines = [
        {"option": name} | {family: _worth(gap) for family, gap in effects(results, *pair).items()}
        for name, pair in _PAIRS.items()
    ]
    note = f"{tuned(results).stamp()} · validation · accuracy gained, of books bits a byte saved"
    if any("(" in value for line in lines for name, value in line.items() if name != "option"):
        note += "; 95% interval"
    return render(pd.DataFrame(lines), note=note, caption="What each option brings, all else equal.")


def _worth(gap: PairedDifference) -> str:
    mean, low, high, _ = gap.estimate
    bounds = "" if low is None else f" ({low:+.3f} … {high:+.3f})"
    return f"{mean:+.3f}{bounds}"


TABLES = {
    "option_standings": TableOf("options", option_standings),
    "option_effects": TableOf("options", option_effects),
}
