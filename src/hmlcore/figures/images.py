"""Images for print: SVG and PDF of figures, drawn by a Chromium, the same bytes every time."""

import asyncio
import hashlib
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from hmlcore.figures.marks import traces_of
from hmlcore.figures.style import BOTTOM, layout_of
from hmlcore.optional import installed

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WIDTH = 760  # px of a static image
_EDGE = 8  # px below the last line, which a PDF would cut
_PATIENCE_S = 180  # a first start on a busy machine has taken 40 s


def draw_images(figs: dict[str, go.Figure], kinds: tuple[str, ...] = ("svg", "pdf")) -> tuple[dict, list[str]]:
    """``{"<name>.<kind>": bytes}`` of figures for print, by one browser, and notices of what went wrong."""
    path, names = chromium(), " and ".join(map(str.upper, kinds))
    if not installed("kaleido"):
        return {}, [f"{names} left out: kaleido is not installed: pip install hmlcore[book]"]
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

    sizes: list[tuple[Any, go.Figure]] = [
        ({"format": kind, "width": _WIDTH, "height": layout_of(fig).height}, fig) for _, kind, fig in wanted
    ]

    async def render() -> list[bytes]:
        async with kaleido.Kaleido(mathjax=False, timeout=_PATIENCE_S) as browser:
            return [await browser.calc_fig(fig, opts=opts) for opts, fig in sizes]

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
    for number, trace in enumerate(traces_of(fig)):
        trace.uid = f"{number:06d}"  # Plotly would draw it at random, and write it into the SVG
    # White, not clear: a README may stand on a dark page.
    fig.update_layout(font_color="#222222", paper_bgcolor="white")
    room = (layout_of(fig).margin.b or BOTTOM) - BOTTOM
    fig.layout.sliders, fig.layout.updatemenus = [], []
    fig.update_layout(height=layout_of(fig).height - room + _EDGE, margin_b=BOTTOM + _EDGE)
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
