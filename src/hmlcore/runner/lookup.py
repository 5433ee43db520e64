"""From a number in a figure to the run behind it: its file, its spec, and the command that makes it again."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.results import Store
from hmlcore.studies import get_experiment
from hmlcore.studies.export import claims, dated


class Found(NamedTuple):
    """A stored run: the file that holds it (maybe with others), its spec and its rows."""

    path: Path
    spec: dict
    rows: pd.DataFrame


def find_run(store: Store, digits: str) -> Found:
    """The stored run whose spec hash begins with `digits`, as hover texts and sidecars show it.

    Raises: HmlcoreError for fewer than four digits, what is no hexadecimal number, no such run or several.
    """
    fits = re.fullmatch(r"[0-9a-f]{4,64}", digits) is not None
    require(fits, f"a run is named by 4 to 64 digits of its spec hash (0-9, a-f), got {digits!r}")
    found = store.find(digits)
    if not found:
        raise HmlcoreError(f"no run {digits!r} in {store.root}")
    require(len(found) == 1, f"{digits!r} begins {len(found)} runs, give more digits: {', '.join(found)}")
    (place,) = found.values()
    path, rows = store.run(place, digits)
    return Found(path, json.loads(rows["spec"].iloc[0]), rows.dropna(axis=1, how="all"))


_NAMED = ("mixer", "variant", "configuration", "task", "direction", "lr")


def command(spec: dict) -> str:
    """What makes the run of `spec`, and those that differ from it in nothing that `--only` can name."""
    if "lr" not in spec:  # measured side by side with the others of its grid
        return f"hml run {spec['experiment']} --profile {spec['profile']}"
    chosen = {key: spec[key] for key in _NAMED if key in spec}
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
    if pd.isna(dirty := first.get("dirty")):  # a column that knows nothing is left out
        made += ", whether changed since is not known"
    elif dirty:
        made += " with uncommitted changes"
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


def find_claim(store: Store, profile: str, name: str) -> str:
    """For people: the claim called `name`, what became of it at `profile`, and the runs behind it.

    Raises: HmlcoreError for an unknown name, listing those of the same experiment or all, or without results.
    """
    known = {claim.name: claim for claim in claims()}
    if name not in known:
        alike = [other for other in known if other.startswith(name.partition(".")[0])]
        raise unknown("run or claim", name, alike or known)
    results = get_experiment(known[name].experiment).load(store, profile)
    decision = known[name].decide(results)
    (rule,) = dated([(results, decision)], store)
    runs = results.runs().loc[decision.runs]
    factors = [f for f in ("mixer", *get_experiment(results.experiment).factors, "lr", "seed") if f in runs]
    table = runs[factors].sort_values(factors).reset_index()
    table["spec_hash"] = table["spec_hash"].str[:16]
    return "\n".join(
        [
            f"claim    {decision.statement}",
            f"verdict  {rule.beside(decision.verdict)}",
            f"rule     {rule.words()}",
            f"evidence {decision.evidence}",
            f"results  {results.stamp()}",
            f"runs     {len(decision.runs)}, each shown by: hml show HASH",
            "",
            table.to_string(index=False, na_rep=""),
        ]
    )
