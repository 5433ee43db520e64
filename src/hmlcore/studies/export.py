"""Everything that is published of the studies as files, and where each came from.

Below a profile's folder: ``figures/`` (Plotly JSON for the book, SVG and PDF for print), ``tables/`` (HTML,
LaTeX; ``costs`` is of all runs), ``numbers.json`` and ``numbers.tex``, ``claims.json``, and ``sources.json``,
which names for each of them the function, the caption, the stamp and the spec hashes of the runs behind it,
which `hml show` takes.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from hmlcore import paths
from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.figures.images import draw_images
from hmlcore.files import json_text, listed, read_json, write_files
from hmlcore.results import SCHEMA, ResultSet, Store
from hmlcore.results.resultset import stamp
from hmlcore.studies import experiments, gathered, get_experiment, part, studies, study_of
from hmlcore.studies.kit.claim import Claim, Decision, claim_table
from hmlcore.studies.kit.cost import cost_table
from hmlcore.studies.kit.figure import Figure, TableOf, function_name
from hmlcore.studies.kit.numbers import Numbers, numbers_json, numbers_of, numbers_tex
from hmlcore.studies.kit.rule import Ruled
from hmlcore.studies.kit.standing import Case, Standing, standings


class Exported(NamedTuple):
    """Files written, and what could not be done and why."""

    files: list[Path]
    notices: list[str]


def figures() -> dict[str, Figure]:
    """Every figure of the studies by name."""
    return gathered("figures", "FIGURES")


def tables() -> dict[str, TableOf]:
    """Every table of the studies by name."""
    return gathered("figures", "TABLES")


def claims() -> list[Claim]:
    """Every claim of the studies."""
    return [claim for name in studies() for claim in getattr(part(name, "claims"), "CLAIMS", [])]


def verdicts(*results: ResultSet) -> pd.DataFrame:
    """What was claimed about `results`, in their order, and what came of it: a row a claim."""
    return claim_table(results, claims(), dated)


def dated(decided: Sequence[tuple[ResultSet, Decision]], store: Store | None = None) -> list[Standing]:
    """When the rule of each decision came, beside the runs that it saw (:mod:`hmlcore.studies.kit.standing`).

    Args: store, where ``claims.json`` may tell what Git does not: the project's if None.
    """
    root = (store or Store(paths.results())).root
    known = {profile: _stored_rules(root / profile) for profile in {results.profile for results, _ in decided}}
    cases = []
    for results, found in decided:
        experiment, _, rule = found.name.partition(".")
        rows = results.frame[results.frame["spec_hash"].isin(found.runs)]
        rows = rows.reindex(columns=["commit", "started_at"]).fillna("").drop_duplicates()
        claims_of: Any = part(study_of(experiment).name, "claims")
        module = Path(claims_of.__file__)
        stored = known[results.profile].get((found.name, *found.runs))
        cases.append(Case(Ruled(experiment, rule), module, list(map(tuple, rows.to_numpy())), stored))
    return standings(cases)


def _stored_rules(folder: Path) -> dict[tuple[str, ...], dict]:
    """(claim's name, its runs) → what ``claims.json`` in `folder` says of the rule."""
    try:
        found = read_json(folder / "claims.json")["claims"]
        return {(entry["name"], *entry["runs"]): entry["rule"] for entry in found if "rule" in entry}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def draw(name: str, store: Store, profile: str) -> go.Figure:
    """The figure called `name` from what `store` has at `profile`.

    Raises:
        HmlcoreError: unknown name (lists the known ones), or no results (names the command that makes them).
    """
    if name not in figures():
        raise unknown("figure", name, figures())
    figure = figures()[name]
    return figure.draw(get_experiment(figure.experiment).load(store, profile), store)[0]


def source_of(source: ResultSet | pd.DataFrame, **more) -> dict:
    """Where a product came from: the runs behind it, and `more` about it."""
    frame = source if isinstance(source, pd.DataFrame) else source.frame
    return {
        "experiment": frame["experiment"].iloc[0], "profile": frame["profile"].iloc[0], "schema": SCHEMA,
        "stamp": stamp(frame), "specs": sorted(set(frame["spec_hash"])), **more,
    }  # fmt: skip


def export(
    fig: go.Figure, name: str, source: ResultSet | pd.DataFrame, out_dir: Path, *, images: bool = True, **more
) -> Exported:
    """Write ``<name>.json``, ``.svg``, ``.pdf`` and ``<name>.sidecar.json``; same input, same bytes.

    The two images need kaleido and a Chromium (``BROWSER_PATH``, or one on the path); without them a notice
    says so and the rest is written. In images, controls are left out and text is dark.

    Args:
        source: what the figure was drawn from: a ResultSet, or a trace.
        images: False leaves SVG and PDF out.
        more: further entries of the sidecar, such as the function's name and the caption.

    Raises:
        HmlcoreError: a file cannot be written.
    """
    beside = json_text({"figure": name} | source_of(source, **more), 1)
    content = {f"{name}.json": figure_json(fig), f"{name}.sidecar.json": beside}
    drawn, notices = draw_images({name: fig}) if images else ({}, [])
    return Exported(write_files(out_dir, {**content, **drawn}), notices)


def figure_json(fig: go.Figure) -> str:
    """A figure as sorted JSON."""
    return json_text(json.loads(str(fig.to_json())))


def export_all(store: Store, profile: str, out: Path | None = None, *, images: bool = True) -> Exported:
    """Everything the store has at `profile`, and ``sources.json``: which runs and which function made each.

    What cannot be drawn yet, for want of results, is in the notices with the command that makes them.

    Args:
        out: folder; the profile's own in the store if not given.
    """
    out = out or store.root / profile
    _check_free(out)
    loaded, sources, notices = _Loaded(store, profile), {}, _unread(store, profile)
    drawn = _drawn(loaded, sources, notices)
    content: dict[str, str | bytes] = {f"figures/{name}.json": figure_json(fig) for name, fig in drawn.items()}
    if images and drawn:
        made, remarks = draw_images(drawn)
        content |= {f"figures/{name}": image for name, image in made.items()}
        notices += remarks
    content |= {f"tables/{name}": text for name, text in _tables(loaded, sources, notices).items()}
    content |= _costs(loaded)
    found = _numbers(loaded, sources)
    found_claims = _decisions(loaded)
    rules = dated(found_claims, store)
    decided = [
        found._asdict() | {"rule": rule._asdict()} for (_, found), rule in zip(found_claims, rules, strict=True)
    ]
    sources["results"] = {name: source_of(results) for name, results in loaded.items()}
    # First, as it says that the others are ours; one that is killed meanwhile may then go on.
    first = write_files(out, {"sources.json": json_text(sources, 1)})
    files = write_files(out, content | {
        "numbers.json": numbers_json(found), "numbers.tex": numbers_tex(found),
        "claims.json": json_text({"claims": decided}, 1),
    })  # fmt: skip
    return Exported(files + first, notices)


def _unread(store: Store, profile: str) -> list[str]:
    """What is said of files among the packed ones that are none: a copy, say, which counts nothing twice."""
    own = {store.place(profile, name).packed(trace) for name in experiments() for trace in (False, True)}
    strays = [path for path in listed(store.root / profile, "*.parquet") if path not in own]
    return [f"{path} is not read: it has the name of no experiment" for path in strays]


def _check_free(out: Path) -> None:
    """Raise HmlcoreError where an export to `out` would write over, or through, what none has written."""
    for path in (out / "figures", out / "tables"):
        require(not path.is_symlink(), f"{path} is a symbolic link: nothing is written through it")
    try:
        if {"figures", "tables", "numbers", "results"} <= read_json(out / "sources.json").keys():
            return
    except (ValueError, AttributeError):
        pass
    names = [f"figures/{name}.{kind}" for name in figures() for kind in ("json", "svg", "pdf")]
    names += [f"tables/{name}.{kind}" for name in (*tables(), "costs") for kind in ("html", "tex")]
    for path in (out / name for name in (*names, "numbers.json", "numbers.tex", "claims.json", "sources.json")):
        require(
            not os.path.lexists(path),
            f"{path} was not written by hml figures, and is not overwritten; move it, or name another --out",
        )


def _drawn(loaded: "_Loaded", sources: dict, notices: list[str]) -> dict[str, go.Figure]:
    drawn, sources["figures"] = {}, {}
    for name, figure in figures().items():
        try:
            results = loaded[figure.experiment]
            drawn[name], source = figure.draw(results, loaded.store)
        except HmlcoreError as error:
            notices.append(f"figure {name}: {error}")
            continue
        entry = {"function": function_name(figure), "caption": figure.words(results.specs())}
        # Runs are listed once an experiment; a trace shows some of them.
        own = {} if source is results else source_of(source)
        sources["figures"][name] = {"experiment": figure.experiment} | own | entry
    return drawn


def _tables(loaded: "_Loaded", sources: dict, notices: list[str]) -> dict[str, str]:
    content, sources["tables"] = {}, {}
    for name, table in tables().items():
        try:
            made = table.function(loaded[table.experiment])
        except HmlcoreError as error:
            notices += [f"table {name}: {error}"] if loaded.has(table.experiment) else []
            continue
        content |= {f"{name}.html": made.html, f"{name}.tex": made.latex}
        sources["tables"][name] = {"experiment": table.experiment, "function": function_name(table)}
    return content


def _costs(loaded: "_Loaded") -> dict[str, str]:
    made = cost_table(loaded.there())
    return {"tables/costs.html": made.html, "tables/costs.tex": made.latex}


class _Loaded(dict):
    """Experiment → its results at one profile, loaded once."""

    def __init__(self, store: Store, profile: str):
        super().__init__()
        self.store, self.profile = store, profile

    def __missing__(self, name: str) -> ResultSet:
        self[name] = get_experiment(name).load(self.store, self.profile)
        return self[name]

    def has(self, name: str) -> bool:
        return self.store.has_any(self.profile, name)

    def there(self) -> list[ResultSet]:
        """Those that the store has."""
        return [self[name] for name in experiments() if self.has(name)]


def _numbers(loaded: _Loaded, sources: dict) -> dict[str, str]:
    """Every number by name; an experiment whose learning rates cannot be compared yet has none."""
    collect: dict[str, Numbers] = gathered("figures", "NUMBERS")
    found, sources["numbers"] = {}, {}
    for results in loaded.there():
        with suppress(HmlcoreError):
            own = numbers_of(results, collect.get(results.experiment, lambda _: {}))
            found |= own
            sources["numbers"] |= dict.fromkeys(own, results.experiment)
    return found


def _decisions(loaded: _Loaded) -> list[tuple[ResultSet, Decision]]:
    """Every claim whose experiment is stored, with its results and decided; one that they do not suffice for is
    left out."""
    decided = []
    for results in loaded.there():
        for claim in claims():
            if claim.experiment == results.experiment:
                with suppress(HmlcoreError):
                    decided.append((results, claim.decide(results)))
    return decided
