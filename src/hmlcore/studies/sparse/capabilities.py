"""What the sparse memory was asked to do, RSM-1 … 22: where each is, and what came of it. No torch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from hmlcore.studies.sparse.ledger import WAITS, Entry

THERE = "there"


class Capability(NamedTuple):
    """Attributes: name; what, in words; where to look; by, what decides beyond its being there: the name of a
    claim, of a version of the ledger, or "" where tests do."""

    name: str
    what: str
    where: str
    by: str = ""


_C = Capability
CAPABILITIES = (
    _C("RSM-1", "a window alone (V1)", "layers.WindowAttention", "V1"),
    _C("RSM-2", "a fixed memory (V5)", "models.Sparse, gate every, evict oldest", "V5"),
    _C("RSM-3", "the test that masks the memory (V12)", "studies.sparse",
       "sparse_recall.the_answer_comes_from_the_memory"),
    _C("RSM-4", "diagnostics: gradients, density, slots changed (V20)",
       "tests/models/test_sparse.py, rows gated and written"),
    _C("RSM-5", "slots with a top-k read (V23)", "ops.sparse_write, ops.sparse_read", "V23"),
    _C("RSM-6", "two lanes of addresses (V28)", "models.sparse.addresses.dual", "V28"),
    _C("RSM-7", "writing without a loop over tokens (V35)", "ops.sparse_write.chunk, equal to naive"),
    _C("RSM-8", "one model, decoded as it is read (V40)", "models.Sparse, to the bit on a CPU"),
    _C("RSM-9", "learned salience (V66)", "models.sparse.gates.salience", "V66"),
    _C("RSM-10", "surprisal (V67.2)", "models.sparse.gates.surprisal", "V67.2"),
    _C("RSM-11", "surprisal in strata (V67.3)", "models.sparse.gates.stratified", "V67.3"),
    _C("RSM-12", "read before write (strategy B)", "models.sparse.gates.redundancy", "B"),
    _C("RSM-13", "learned centroids (V68.1)", "models.sparse.addresses.centroids", "V68.1"),
    _C("RSM-14", "rare facts at 100k (V68.2)", "studies.sparse",
       "sparse_recall.rare_at_a_hundred_thousand"),
    _C("RSM-15", "common facts at 512k (V68.3)", "studies.sparse", "sparse_recall.common_at_the_longest"),
    _C("RSM-16", "all targets at 512k (V68.4)", "studies.sparse", "sparse_recall.targets_met"),
    _C("RSM-17", "1B and 3B, as configurations", "models.sparse.sizes, on the meta device"),
    _C("RSM-18", "Memorizing Transformer and RMT", "models.Memorizing, models.RecurrentMemory",
       "sparse_recall.better_than_rivals"),
    _C("RSM-19", "arXiv, code and GSM8K", "tasks.hub_texts, with stand-ins"),
    _C("RSM-20", "a write-up and a release", "this chapter, hml ledger"),
    _C("RSM-21", "many heads, hierarchy, compression, dynamic slots",
       "models.sparse.gates heads and compression, models.sparse.addresses tree and either"),
    _C("RSM-22", "the ledger and its pivot rule", "hml ledger, studies.sparse.ledger"),
)  # fmt: skip
"""In the order in which they were asked for; paths are below `hmlcore` unless they name a file."""


def capabilities(verdicts: Mapping[str, str], ledger: Sequence[Entry]) -> pd.DataFrame:
    """A row a capability. Args: verdicts, claim → what came of it, of those that are decided; ledger."""
    versions = {entry.version: entry.verdict for entry in ledger}

    def came(by: str) -> str:
        if not by:
            return THERE
        return f"{THERE}; {versions.get(by) or verdicts.get(by, WAITS)}"

    lines = [(c.name, c.what, c.where, came(c.by)) for c in CAPABILITIES]
    return pd.DataFrame(lines, columns=["number", "what", "where", "what came of it"])
