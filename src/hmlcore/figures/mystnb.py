"""Plotly figures in MyST-NB pages: an element that holds the figure as JSON, drawn by one shared script.

MyST-NB would embed each figure as HTML that loads its own copy of plotly.js. Here a page carries data only; the
book's script finds the elements, loads plotly.js once and follows the page's light or dark theme.
"""

import json

MIME = "application/vnd.plotly.v1+json"


def plotly_html(figure: dict) -> str:
    """The element ``<div class="hml-plotly">`` of a figure.

    Args:
        figure: Plotly JSON: data, layout, and optionally frames and config. Its template is left out; height
            is reserved so that the page does not jump when the figure is drawn.
    """
    layout = {key: value for key, value in figure.get("layout", {}).items() if key != "template"}
    figure = {**figure, "layout": layout}
    text = json.dumps(figure, separators=(",", ":"), ensure_ascii=False)
    # "<" never occurs in JSON outside strings: written so, no text in a figure can end the script element.
    text = text.replace("<", "\\u003c")
    height = int(layout.get("height") or 450)
    script = f'<script type="application/json">{text}</script>'
    return f'<div class="hml-plotly" style="min-height:{height}px">{script}</div>'


class PlotlyMime:
    """MyST-NB renderer plugin for Plotly's MIME type (entry point group ``myst_nb.mime_renderers``)."""

    mime_priority_overrides = (("html", MIME, 5), ("dirhtml", MIME, 5))

    @staticmethod
    def handle_mime(renderer, data, inline):
        """The figure as a raw HTML node; None, meaning "not mine", for other types and inline outputs."""
        if inline or data.mime_type != MIME:
            return None
        from docutils import nodes  # here, because only pages need it

        figure = data.content if isinstance(data.content, dict) else json.loads(data.content)
        return [nodes.raw(text=plotly_html(figure), format="html", classes=["output"])]
