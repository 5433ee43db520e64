"""The page element of a figure, and the renderer that makes it."""

import json
import re
from importlib.metadata import entry_points
from types import SimpleNamespace

import plotly.graph_objects as go
import pytest

from hmlcore.figures.mystnb import MIME, PlotlyMime, plotly_html


def inside(html):
    found = re.fullmatch(
        r'<div class="hml-plotly" style="min-height:(\d+)px">'
        r'<script type="application/json">(.*)</script></div>',
        html,
        re.DOTALL,
    )
    return int(found[1]), json.loads(found[2])


def test_element_holds_the_figure_without_its_template():
    figure = json.loads(go.Figure(go.Scatter(y=[1, 2]), layout={"height": 512}).to_json())
    assert "template" in figure["layout"]
    height, content = inside(plotly_html(figure))
    assert height == 512
    assert content["data"] == figure["data"] and content["layout"] == {"height": 512}
    assert "template" in figure["layout"]  # the caller's figure is left alone


def test_frames_are_kept_and_height_has_a_default():
    height, content = inside(plotly_html({"data": [], "frames": [{"name": "0"}]}))
    assert height == 450 and content["frames"] == [{"name": "0"}]


def test_text_cannot_end_the_script_element():
    nasty = "</script><script>alert(1)</script><!-- β"
    html = plotly_html({"data": [{"text": nasty}], "layout": {}})
    assert html.count("</script>") == 1 and "<!--" not in html
    assert inside(html)[1]["data"][0]["text"] == nasty


@pytest.mark.parametrize("as_text", [True, False])
def test_renderer(as_text):
    content = {"data": [], "layout": {}}
    data = SimpleNamespace(mime_type=MIME, content=json.dumps(content) if as_text else content)
    (node,) = PlotlyMime.handle_mime(None, data, False)
    assert node["format"] == "html" and inside(node.astext())[1] == content
    assert PlotlyMime.handle_mime(None, data, True) is None
    assert PlotlyMime.handle_mime(None, SimpleNamespace(mime_type="text/html", content=""), False) is None


def test_renderer_is_found_by_mystnb():
    (entry,) = entry_points(group="myst_nb.mime_renderers", name="hml_plotly")
    assert entry.load() is PlotlyMime
