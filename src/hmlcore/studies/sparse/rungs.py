"""The versions of the source, each a configuration: its goal, and what the source says came of it. No torch."""

from typing import NamedTuple


class Rung(NamedTuple):
    """One version.

    Attributes: name, phase, goal; memory, what differs from the fixed memory in the configuration, None for no
        memory; reported, kind → recall as the source gives it, for a metric that presents the answer.
    """

    name: str
    phase: str
    goal: str
    memory: dict | None
    reported: dict[str, float]


def _gated(gate: str, **more) -> dict:
    return {"gate": gate, "density": 0.12, "evict": "value", **more}


RUNGS = (
    Rung("V1", "baseline", "a window of attention alone", None, {}),
    Rung("V5", "baseline", "a fixed memory: everything is written, the oldest goes", {"gate": "every"}, {}),
    Rung("V23", "slots", "few are written, at random, and the nearest are read", _gated("random"), {}),
    Rung("V28", "slots", "two lanes of addresses", _gated("random", address="dual", contrast=0.1), {}),
    Rung("V66", "gates", "salience is learned", _gated("salience"), {}),
    Rung("V67.2", "gates", "surprisal decides", _gated("surprisal"), {"common": 0.886}),
    Rung("V67.3", "gates", "surprisal among its like", _gated("stratified"), {"rare": 0.77, "common": 0.83}),
    Rung("B", "gates", "what is there already is not written", _gated("redundancy"), {}),
    Rung("C", "gates", "what the memory did not help to expect", _gated("after_read"), {}),
    Rung("V68.1", "addresses", "centroids that follow the keys",
         _gated("surprisal", address="centroids", contrast=0.1), {}),
    Rung("V68.4", "addresses", "centroids, strata and redundancy together",
         _gated("redundancy", address="centroids", contrast=0.1, merge=0.8), {}),
)  # fmt: skip
"""In order. V12, the test that masks the memory, and V20, diagnostics, are measurements and no configurations:
the rows `masked` and `written` of every run. V35 and V40, vectorised writing and integration, change none."""
