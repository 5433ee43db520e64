"""From a number in a figure to the run behind it: its file, its spec, and the command that makes it again."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hmlcore.errors import HmlcoreError, require
from hmlcore.results import Store


class Found(NamedTuple):
    """A stored run: its file, its spec and its rows."""

    path: Path
    spec: dict
    rows: pd.DataFrame


def find_run(store: Store, digits: str) -> Found:
    """The stored run whose spec hash begins with `digits`, as hover texts and sidecars show it.

    Raises: HmlcoreError for fewer than four digits, what is no hexadecimal number, no such run or several.
    """
    fits = re.fullmatch(r"[0-9a-f]{4,64}", digits) is not None
    require(fits, f"a run is named by 4 to 64 digits of its spec hash (0-9, a-f), got {digits!r}")
    paths = [
        path
        for path in sorted(store.root.glob(f"*/*/{digits[:16]}*.parquet"))
        if not path.name.endswith(".trace.parquet")
    ]
    if not paths:
        raise HmlcoreError(f"no run {digits!r} in {store.root}")
    require(len(paths) == 1, f"{digits!r} begins {len(paths)} runs, give more digits: " + _listed(paths))
    path = paths[0]
    rows = store.load(path.parent.parent.name, path.parent.name).frame
    rows = rows[rows["spec_hash"].str.startswith(digits if len(digits) > 16 else path.stem)]
    require(len(rows) > 0, f"no run {digits!r} in {store.root}")
    return Found(path, json.loads(rows["spec"].iloc[0]), rows.dropna(axis=1, how="all"))


def command(spec: dict) -> str:
    """What makes the run of `spec`, and those that differ from it in nothing that `--only` can name."""
    if "lr" not in spec:  # measured side by side with the others of its grid
        return f"hml run {spec['experiment']} --profile {spec['profile']}"
    chosen = {key: spec[key] for key in ("mixer", "variant", "task", "direction", "lr") if key in spec}
    chosen["d_model"] = spec["model"]["d_model"]
    corpora = {task["corpus"] for task in spec["train"] if "corpus" in task}
    if len(corpora) == 1:
        chosen["corpus"] = corpora.pop()
    only = " ".join(shlex.quote(f"{key}={value}") for key, value in chosen.items())
    return f"hml run {spec['experiment']} --profile {spec['profile']} --only {only} --seeds {spec['seed']}"


def report(found: Found) -> str:
    """For people: where the run is, what made it, its scores and its spec."""
    rows, first = found.rows, found.rows.iloc[0]
    made = f"{first['device']}, torch {first['torch']}, commit {first['commit'][:12]}"
    made += " with uncommitted changes" if first["dirty"] else ""
    hidden = {"spec_hash", "schema", "experiment", "profile", "spec", "lr", "seed", "mixer"}
    places = [c for c in rows if c not in hidden and rows[c].nunique(dropna=False) > 1]
    scores = rows[rows["split"] != "train"][places].dropna(axis=1, how="all")
    return "\n".join(
        [
            f"file     {found.path}",
            f"run      {first['spec_hash']}",
            f"made     {first['started_at']} on {made}",
            f"again    {command(found.spec)}",
            f"compare  hml verify --run {first['spec_hash'][:16]}",
            "",
            scores.to_string(index=False, na_rep="", max_rows=80),
            "",
            json.dumps(found.spec, indent=1, ensure_ascii=False),
        ]
    )


def _listed(paths: list[Path]) -> str:
    return ", ".join(path.stem for path in paths)
