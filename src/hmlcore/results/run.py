"""One finished run as a table: its rows, checked, with provenance in each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from hmlcore.errors import HmlcoreError, require
from hmlcore.results.provenance import Provenance
from hmlcore.results.spec import SCHEMA, canonical, check_spec, spec_hash

SPLITS = ("train", "validation", "test")

# Provenance that depends on how long a sequence is: a row measured at another length may state its own.
_PER_LENGTH = {"state_floats", "state_bytes", "flops_per_token"}
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bool | None: pa.bool_()}
_SPEC_COLUMNS = {
    "spec_hash": pa.string(),
    "schema": pa.int64(),
    "experiment": pa.string(),
    "profile": pa.string(),
    "mixer": pa.string(),
    "seed": pa.int64(),
    "lr": pa.float64(),
    "d_model": pa.int64(),
    "spec": pa.string(),
}
PROVENANCE = {**_SPEC_COLUMNS, **{f.name: _ARROW[f.type] for f in fields(Provenance)}}
"""Column name to Arrow type of everything a run repeats in each of its rows."""


@dataclass(frozen=True)
class Run:
    """What one run measured.

    Attributes:
        spec: the plain JSON dictionary that determines the run.
        provenance: where and at what cost it ran.
        rows: one dictionary per measured value: ``metric`` (str), ``value`` (float, NaN where it diverged),
            ``n`` (examples or tokens behind the value, default 0), ``split`` (default "test"), and any
            condition columns (payload, delay, pairs, step, ...).
        trace: one dictionary per token of one real input, or None.
    """

    spec: Mapping
    provenance: Provenance
    rows: Sequence[Mapping]
    trace: Sequence[Mapping] | None = None

    def table(self) -> pa.Table:
        """The rows in long form. Raises HmlcoreError for a row that cannot be stored."""
        require(len(self.rows) > 0, "run has no rows: nothing was measured")
        return self._with_provenance([_checked(row) for row in self.rows])

    def trace_table(self) -> pa.Table:
        """The trace, with the same provenance columns."""
        require(bool(self.trace), "run has an empty trace")
        return self._with_provenance([dict(row) for row in self.trace or ()])

    def _with_provenance(self, rows: list[dict]) -> pa.Table:
        check_spec(self.spec)
        spec = self.spec
        common = {
            "spec_hash": spec_hash(spec),
            "schema": SCHEMA,
            "experiment": spec["experiment"],
            "profile": spec["profile"],
            "mixer": spec["mixer"],
            "seed": spec["seed"],
            "lr": spec.get("lr"),
            "d_model": spec.get("model", {}).get("d_model"),
            "spec": canonical(spec),
            **asdict(self.provenance),
        }
        own = dict.fromkeys(key for row in rows for key in row)
        clash = [key for key in own if key in PROVENANCE and key not in _PER_LENGTH | {"d_model"}]
        require(not clash, f"row columns {clash} are provenance; the run's spec and provenance state them")
        columns = {}
        for key in own:
            given = [row.get(key) for row in rows]
            if key in PROVENANCE:
                given = [common[key] if value is None else value for value in given]
            columns[key] = _column(key, given, PROVENANCE.get(key))
        for key, type_ in PROVENANCE.items():
            if key not in columns:
                columns[key] = pa.array([common[key]] * len(rows), type_)
        columns["spec"] = columns["spec"].dictionary_encode()  # the longest text, once a file
        metadata = {"hmlcore_schema": str(SCHEMA), "hmlcore_spec_hash": common["spec_hash"]}
        return pa.table(columns, metadata=metadata)


def _checked(row: Mapping) -> dict:
    """`row` with defaults filled in, refused where it is not a measurement."""
    row = {"split": "test", "n": 0, **row}
    require("metric" in row and "value" in row, f"row needs 'metric' and 'value': {row!r}")
    require(isinstance(row["metric"], str), f"metric must be text, not {row['metric']!r}")
    require(
        row["split"] in SPLITS, f"split {row['split']!r} of metric {row['metric']!r} is not one of {SPLITS}"
    )
    try:
        row["value"], row["n"] = float(row["value"]), int(row["n"])
    except (TypeError, ValueError) as error:
        raise HmlcoreError(f"metric {row['metric']!r}: value and n must be numbers: {row!r}") from error
    require(row["n"] >= 0, f"n must not be negative: {row!r}")
    return row


def _column(key: str, values: list, type_: pa.DataType | None) -> pa.Array:
    """An Arrow column of Python (or NumPy) scalars; integers and floats together become floats."""
    values = [value.item() if hasattr(value, "item") else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    kind = float if kinds == {int, float} else next(iter(kinds), float)
    if kind not in _ARROW or not kinds <= {kind, int if kind is float else kind}:
        names = sorted(k.__name__ for k in kinds)
        raise HmlcoreError(f"column {key!r} must hold text, numbers or booleans of one kind, not {names}")
    try:
        return pa.array(values, _ARROW[kind]).cast(type_ or _ARROW[kind])
    except (pa.ArrowException, OverflowError) as error:
        raise HmlcoreError(f"column {key!r} cannot be stored: {error}") from error
