"""Figures, tables and numbers as files: Plotly JSON for the book, SVG and PDF for print, and their sources."""

import asyncio
import hashlib
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import HmlcoreError
from hmlcore.figures.registry import FIGURES, TABLES
from hmlcore.figures.style import BOTTOM
from hmlcore.results import SCHEMA, ResultSet, Store
from hmlcore.results.numbers import numbers, numbers_json, numbers_tex
from hmlcore.results.resultset import stamp

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WIDTH = 760  # px of a static image
_PATIENCE_S = 180  # a first start on a busy machine has taken 40 s


class Exported(NamedTuple):
    """Files written, and what could not be done and why."""

    files: list[Path]
    notices: list[str]


def export(
    fig: go.Figure,
    name: str,
    results: ResultSet | pd.DataFrame,
    out_dir: Path,
    *,
    function: str | None = None,
    images: bool = True,
) -> Exported:
    """Write ``<name>.json``, ``.svg``, ``.pdf`` and ``<name>.sidecar.json``; same input, same bytes.

    The two images need kaleido and a Chromium (``BROWSER_PATH``, or one on the path); without them a notice
    says so and the rest is written. In images, controls are left out and text is dark.

    Args:
        results: what the figure was drawn from: a ResultSet, or a trace.
        function: dotted name of what drew it; taken from the registry where `name` is in it.
        images: False leaves SVG and PDF out.

    Raises:
        HmlcoreError: a file cannot be written.
    """
    if function is None and name in FIGURES:
        function = FIGURES[name].function_name
    frame = results.frame if isinstance(results, ResultSet) else results
    sidecar = {
        "figure": name,
        "function": function or "",
        "experiment": frame["experiment"].iloc[0],
        "profile": frame["profile"].iloc[0],
        "schema": SCHEMA,
        "stamp": stamp(frame),
        "specs": sorted(set(frame["spec_hash"])),
    }
    content = {f"{name}.json": _json(json.loads(fig.to_json())), f"{name}.sidecar.json": _json(sidecar, 1)}
    drawn, notices = draw_images({name: fig}) if images else ({}, [])
    return Exported(_write(out_dir, content | drawn), notices)


def export_all(store: Store, profile: str, out: Path | None = None, *, images: bool = True) -> Exported:
    """Everything the store has at `profile`: ``figures/``, ``tables/``, ``numbers.json`` and ``numbers.tex``.

    What cannot be drawn yet, for want of results, is in the notices with the command that makes them.

    Args:
        out: folder; the profile's own in the store if not given.
    """
    out = out or store.root / profile
    files, notices, drawn = [], [], {}
    for name, figure in FIGURES.items():
        try:
            drawn[name], source = figure.draw(store, profile)
        except HmlcoreError as error:
            notices.append(f"figure {name}: {error}")
        else:
            files += export(drawn[name], name, source, out / "figures", images=False).files
    if images and drawn:
        content, remarks = draw_images(drawn)
        files, notices = files + _write(out / "figures", content), notices + remarks
    for name, (experiment, function) in TABLES.items():
        if store.has_any(profile, experiment):
            try:
                table = function(store.load(profile, experiment))
            except HmlcoreError as error:
                notices.append(f"table {name}: {error}")
            else:
                files += _write(out / "tables", {f"{name}.html": table.html, f"{name}.tex": table.latex})
    found = numbers(store, profile)
    files += _write(out, {"numbers.json": numbers_json(found), "numbers.tex": numbers_tex(found)})
    return Exported(files, notices)


def draw_images(figs: dict[str, go.Figure], kinds: tuple[str, ...] = ("svg", "pdf")) -> tuple[dict, list[str]]:
    """``{"<name>.<kind>": bytes}`` of figures for print, by one browser, and notices of what went wrong."""
    path, names = chromium(), " and ".join(map(str.upper, kinds))
    if find_spec("kaleido") is None:
        return {}, [f"{names} left out: kaleido is not installed"]
    if path is None:
        return {}, [f"{names} left out: no Chromium found; install one or set BROWSER_PATH"]
    os.environ["BROWSER_PATH"] = path
    wanted = [(name, kind, _static(fig)) for name, fig in figs.items() for kind in kinds]
    # In a thread of its own, because a notebook's thread already runs an event loop.
    with ThreadPoolExecutor(1) as thread:
        try:
            images = thread.submit(lambda: asyncio.run(_rendered(wanted))).result()
        except Exception as error:  # whatever a browser fails with; the figures' data are safe
            return {}, [f"{names} left out: {path} failed: {' '.join(map(str, error.args)) or repr(error)}"]
    return {f"{n}.{k}": _reproducible(image, n, k) for (n, k, _), image in zip(wanted, images, strict=True)}, []


async def _rendered(wanted: list[tuple[str, str, go.Figure]]) -> list[bytes]:
    """The images, by one browser; a browser that hangs is given up."""
    import kaleido

    async def render() -> list[bytes]:
        async with kaleido.Kaleido(mathjax=False, timeout=_PATIENCE_S) as browser:
            return [
                await browser.calc_fig(fig, opts={"format": kind, "width": _WIDTH, "height": fig.layout.height})
                for _, kind, fig in wanted
            ]

    return await asyncio.wait_for(render(), _PATIENCE_S + 10 * len(wanted))


def chromium() -> str | None:
    """Path of a Chromium: ``BROWSER_PATH``, else the first of the usual names on the path, else None."""
    given = os.environ.get("BROWSER_PATH")
    if given:
        return given if Path(given).is_file() else None
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def _static(fig: go.Figure) -> go.Figure:
    """A copy for print: dark text, and no controls nor the room they take."""
    fig = go.Figure(data=fig.data, layout=fig.layout)
    for number, trace in enumerate(fig.data):
        trace.uid = f"{number:06d}"  # Plotly would draw it at random, and write it into the SVG
    # White, not clear: a README may stand on a dark page.
    fig.update_layout(font_color="#222222", paper_bgcolor="white")
    room = (fig.layout.margin.b or BOTTOM) - BOTTOM
    fig.layout.sliders, fig.layout.updatemenus = [], []
    fig.update_layout(height=fig.layout.height - room, margin_b=BOTTOM)
    fig.update_annotations(selector={"name": "stamp"}, yshift=4 - BOTTOM, font_color="#555555")
    return fig


def _reproducible(drawn: bytes, name: str, kind: str) -> bytes:
    """Without what differs from run to run: random ids in SVG, dates and the browser's version in PDF."""
    if kind == "svg":
        text = drawn.decode()
        steady = hashlib.sha256(name.encode()).hexdigest()[:6]
        for random in set(re.findall(r'id="defs-([0-9a-f]{6})"', text)):
            text = text.replace(random, steady)
        return text.encode()
    if kind == "pdf":  # lengths must stay, for the table of offsets at the end
        return re.sub(rb"\(D:\d{14}", b"(D:20000101000000", drawn)
    return drawn


def _json(value, indent: int | None = None) -> str:
    separators = None if indent else (",", ":")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent, separators=separators) + "\n"


def _write(folder: Path, content: dict[str, str | bytes]) -> list[Path]:
    files = []
    for name, text in content.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        except OSError as error:
            raise HmlcoreError(f"cannot write {path}: {error.strerror or error}") from error
        files.append(path)
    return files
