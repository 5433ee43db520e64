"""Results of one experiment at one profile, and the refusals that keep comparisons honest."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from hmlcore.checks import check_choice, check_optional, check_text, check_tuple
from hmlcore.errors import HmlcoreError, require, shown, unknown

_REQUIRED = (
    "metric",
    "value",
    "n",
    "split",
    "spec_hash",
    "schema",
    "experiment",
    "profile",
    "mixer",
    "seed",
    "lr",
    "dirty",
)


class Tuning(NamedTuple):
    """How the learning rate of each mixer is chosen.

    Attributes:
        metric: of the validation split.
        mode: "max" or "min".
        by: factors, within whose values each mixer has a rate of its own.
    """

    metric: str
    mode: str
    by: tuple[str, ...] = ()


class ResultSet:
    """Measured values in long form, one row each; see :class:`hmlcore.results.Run` for the columns.

    Args:
        tuning: what chooses among the learning rates that were tried, where several were.

    Raises:
        HmlcoreError: `frame` is empty, lacks columns, or mixes profiles, schemas or experiments.
    """

    def __init__(self, frame: pd.DataFrame, tuning: Tuning | None = None):
        absent = [column for column in _REQUIRED if column not in frame]
        require(not absent, f"results lack the columns {absent}")
        require(len(frame) > 0, "results are empty")
        for column in ("profile", "schema", "experiment"):
            found = sorted(frame[column].unique())
            require(len(found) == 1, f"refusing to mix results of several {column}s: {found}")
        self.frame = frame.reset_index(drop=True)
        self.tuning = tuning
        self.chosen: ResultSet | None = None  # by `results.tuning.tuned`, which asks once
        self._runs: pd.DataFrame | None = None

    def __repr__(self) -> str:
        return f"<ResultSet {self.experiment}: {len(self.hashes)} runs, {self.stamp()}>"

    @property
    def profile(self) -> str:
        """The profile of all runs."""
        return self.frame["profile"].iloc[0]

    @property
    def experiment(self) -> str:
        """The experiment of all runs."""
        return self.frame["experiment"].iloc[0]

    @property
    def mixers(self) -> list[str]:
        """Mixers present, sorted."""
        return sorted(set(self.frame["mixer"]))

    @property
    def seeds(self) -> list[int]:
        """Seeds present, sorted."""
        return sorted(int(seed) for seed in set(self.frame["seed"]))

    @property
    def metrics(self) -> list[str]:
        """Names of what was measured, sorted."""
        return sorted(set(self.frame["metric"]))

    @property
    def hashes(self) -> list[str]:
        """Spec hashes of the runs, sorted: what a figure drawn from this set was drawn from."""
        return sorted(set(self.frame["spec_hash"]))

    def specs(self) -> list[dict]:
        """The spec of each run, in the order of :attr:`hashes`."""
        texts = self.frame.drop_duplicates("spec_hash").set_index("spec_hash")["spec"]
        return [json.loads(texts[digest]) for digest in self.hashes]

    def runs(self) -> pd.DataFrame:
        """One row a run, by spec hash: the columns with at most one value in every run, nulls aside."""
        if self._runs is None:
            grouped = self.frame.groupby("spec_hash", sort=True)
            # A set may happen to measure one value a run: that describes the measurement, not the run.
            varying = ("spec_hash", "metric", "value", "n", "split")
            columns: list[Any] = [c for c in self.frame if c not in varying]
            constant = [c for c in columns if (grouped[c].nunique() <= 1).all()]
            self._runs = _tidy(grouped[constant].first())
        return self._runs.copy()

    def where(self, **conditions) -> "ResultSet":
        """The rows that meet `conditions`: a value, or a collection of allowed values, per column."""
        found = select(self.frame, conditions)
        require(len(found) > 0, f"no results of {self.experiment!r} with {_shown(conditions)}")
        return ResultSet(found, self.tuning)

    def metric(self, name: str, split: str | None = None, **conditions) -> pd.DataFrame:
        """The rows of one metric, without the columns that are empty for it.

        Args:
            name: e.g. "accuracy".
            split: by default "test", or the only split on which the metric was measured.
            conditions: a value, or a collection of allowed values, per column.

        Raises:
            HmlcoreError: unknown metric or column, or no row left.
        """
        rows = self.frame[self.frame["metric"] == check_choice("metric", name, self.metrics)]
        split = check_optional("split", split, check_text)
        splits = sorted(set(rows["split"]))
        if split is None:
            require("test" in splits or len(splits) == 1, f"metric {name!r} has splits {splits}: name one")
            split = "test" if "test" in splits else splits[0]
        found = select(rows, {"split": split, **conditions})
        require(
            len(found) > 0,
            f"no {name!r} of {self.experiment!r} with {_shown({'split': split, **conditions})}",
        )
        return _tidy(found.reset_index(drop=True))

    def best_lr(self, metric: str, mode: str = "max", by: Iterable[str] = (), **conditions) -> "ResultSet":
        """Only the runs at the learning rate that did best on the validation split.

        Chosen per mixer and per value of the columns `by`, by the mean over seeds of each run's mean
        validation value; only seeds that every learning rate of the group has are compared; ties go to the
        smaller rate. A diverged run (NaN) counts as worst. The test split is never read.

        Args:
            metric: compared on the rows of split "validation".
            mode: "max" or "min".
            by: columns constant within a run, e.g. ``["d_model"]``.
            conditions: restrict the validation rows that count.

        Raises:
            HmlcoreError: a mixer has no validation rows, or its learning rates share no seed.
        """
        check_choice("mode", mode, ("max", "min"))
        by = check_tuple("by", (by,) if isinstance(by, str) else by, check_text)
        runs = self.runs()
        for column in by:
            if column not in runs:
                raise unknown("column in by", column, runs.columns)
        worst = float("-inf") if mode == "max" else float("inf")
        rows = self.metric(metric, split="validation", **conditions)
        score = rows.groupby("spec_hash")["value"].agg(lambda v: v.mean(skipna=False)).fillna(worst)
        runs = runs.assign(score=score)
        kept = []
        for key, group in runs.groupby(["mixer", *by], dropna=False):
            label = ", ".join(map(str, key))
            known = bool(group["score"].notna().any())
            require(known, f"no validation {metric!r} for {label}: cannot choose lr")
            seen = group.dropna(subset=["score", "lr"])
            require(len(seen) > 0, f"runs of {label} have no lr to choose from")
            shared = set.intersection(*(set(seeds) for _, seeds in seen.groupby("lr")["seed"]))
            require(bool(shared), f"learning rates of {label} share no seed: the grid is unfinished")
            means = seen[seen["seed"].isin(shared)].groupby("lr")["score"].mean()
            lr = means.idxmax() if mode == "max" else means.idxmin()
            kept.extend(group.index[group["lr"] == lr])
        return ResultSet(self.frame[self.frame["spec_hash"].isin(kept)], self.tuning)

    def timings(self) -> pd.DataFrame:
        """Cost of each run: wall_s, tokens_per_s and what they depend on. One device only.

        Raises:
            HmlcoreError: runs were timed on several devices.
        """
        devices = sorted(set(self.frame["device"]))
        require(len(devices) == 1, f"refusing to mix timings of several devices: {devices}")
        columns = ["mixer", "seed", "lr", "steps", "parameters", "flops_per_token"]
        columns = [*columns, "wall_s", "tokens_per_s", "device", "torch"]
        return self.frame.drop_duplicates("spec_hash")[columns].reset_index(drop=True)

    def stamp(self) -> str:
        """What every figure and table says about its numbers, e.g. ``laptop profile · CPU · 3 seeds``."""
        return stamp(self.frame)


def stamp(frame: pd.DataFrame) -> str:
    """:meth:`ResultSet.stamp` of any rows with provenance, a trace for one."""
    counts = frame.groupby("mixer")["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    seeds = f"{high}" if low == high else f"{low}–{high}"
    devices = " and ".join(sorted({device_label(device) for device in frame["device"]}))
    parts = [f"{frame['profile'].iloc[0]} profile", devices, f"{seeds} seed{'s' if high != 1 else ''}"]
    if frame["dirty"].eq(True).any():
        parts.append("uncommitted code")
    if frame["dirty"].isna().any():
        parts.append("code of unknown revision")
    return " · ".join(parts)


def device_label(device: str) -> str:
    """A device as readers write it: "cpu" is "CPU", "cuda" is "GPU", a product name stays."""
    return {"cpu": "CPU", "cuda": "GPU"}.get(device, device)


def select(frame: pd.DataFrame, conditions: dict) -> pd.DataFrame:
    """Rows of `frame` whose columns have the given value, or one of the given values."""
    for column, wanted in conditions.items():
        if column not in frame:
            raise unknown("column", column, frame.columns)
        if wanted is None:
            frame = frame[frame[column].isna()]
        else:
            allowed = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
            try:
                frame = frame[frame[column].isin(allowed)]
            except (TypeError, ValueError, OverflowError) as error:  # of pandas, of pyarrow and of the column
                raise HmlcoreError(f"no {column} can be {shown(wanted)}") from error
    return frame


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Without condition columns that are all null; nullable integers that are complete become plain ones."""
    frame = frame[[c for c in frame if c in _REQUIRED or frame[c].notna().any()]]
    whole = [c for c in frame if isinstance(frame[c].dtype, pd.Int64Dtype) and not frame[c].isna().any()]
    return frame.astype(dict.fromkeys(whole, "int64"))


def _shown(conditions: dict) -> str:
    return ", ".join(f"{key}={shown(value)}" for key, value in conditions.items()) or "no conditions"
