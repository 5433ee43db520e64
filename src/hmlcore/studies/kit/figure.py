"""What a figure is: the experiment it shows, the function that draws it, and its one caption. No torch."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from hmlcore.checks import check_bool, check_fields, check_function, check_sentence, check_text
from hmlcore.errors import require, unknown
from hmlcore.figures.tables import Table
from hmlcore.results import ResultSet, Store
from hmlcore.results.tuning import tuned

SEEDS = (
    "Each dot is a seed, lines join their means; bars are 95 % t-intervals where there are five seeds or more."
)
"""What every caption says about seeds."""
CROWD = (
    "Of many lines, HML's and those of the three others that end best over the panels are in color, others in "
    "grey."
)
"""What captions say where every mixer is shown."""


@dataclass(frozen=True)
class Figure:
    """How one named figure comes about.

    Attributes:
        experiment: whose results it shows.
        function: draws it, from a ResultSet, or from a trace.
        caption: what is drawn, for the text below it wherever it is shown; where that depends on what was run,
            specs → the caption.
        traced: the function takes a trace, of HML's first seed.
        every_mixer: it takes the traces of all mixers instead, of the first seed of each.
    """

    experiment: str
    function: Callable[..., go.Figure]
    caption: str | Callable[[Sequence[Mapping]], str]
    traced: bool = False
    every_mixer: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self, experiment=(check_text,), function=(check_function,), caption=(check_sentence,),
            traced=(check_bool,), every_mixer=(check_bool,),
        )  # fmt: skip

    def words(self, specs: Sequence[Mapping]) -> str:
        """The caption, for runs of `specs`."""
        return self.caption if isinstance(self.caption, str) else self.caption(specs)

    def draw(self, results: ResultSet, store: Store) -> tuple[go.Figure, ResultSet | pd.DataFrame]:
        """The figure and what it was drawn from: `results`, or their traces.

        Raises: HmlcoreError where the store has no traces of them.
        """
        if not self.traced:
            return self.function(results), results
        of = {"seed": 0} | ({} if self.every_mixer else {"mixer": "hml"})
        trace = store.trace(results.profile, self.experiment, **of)
        # Every learning rate that was tried left a trace; the figure shows the one that was chosen.
        trace = trace[trace["spec_hash"].isin(tuned(results).hashes)]
        trace = trace.reset_index(drop=True) if self.every_mixer else one_trace(trace)
        return self.function(trace), trace


@dataclass(frozen=True)
class TableOf:
    """How one named table comes about: the experiment it shows, and results → the table."""

    experiment: str
    function: Callable[[ResultSet], Table]

    def __post_init__(self) -> None:
        check_fields(self, experiment=(check_text,), function=(check_function,))


def function_name(product: Figure | TableOf) -> str:
    """The dotted name of what draws it."""
    return f"{product.function.__module__}.{product.function.__qualname__}"


def one_trace(trace: pd.DataFrame, corpus: str | None = None) -> pd.DataFrame:
    """The rows of one run: of the run on `corpus`; of several, if none is named, the one on "stdlib", the text
    that every machine has.

    Raises:
        HmlcoreError: unknown corpus (lists those there are), or still several runs.
    """
    if "spec" in trace:
        found = {text: corpus_of(text) for text in trace["spec"].unique()}
        if corpus is None and len(found) > 1 and "stdlib" in found.values():
            corpus = "stdlib"
        if corpus is not None:
            if corpus not in found.values():
                raise unknown("corpus of a trace", corpus, set(found.values()))
            trace = trace[[found[text] == corpus for text in trace["spec"]]]
    runs = trace["spec_hash"].nunique() if "spec_hash" in trace else 1
    require(runs == 1, f"trace holds {runs} runs: choose one, by mixer, seed or corpus")
    return trace


def corpus_of(spec: str) -> str:
    """The corpus a run learned from, "" for a generated task."""
    return json.loads(spec).get("train", [{}])[0].get("corpus", "")
