"""What stands in a chapter for a figure or a table while its results are awaited."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from hmlcore.figures.style import GREY, styled
from hmlcore.results import ResultSet


def shown(draw: Callable[[ResultSet], Any], results: ResultSet | None) -> Any:
    """What `draw` makes of `results`, or where there are none yet an empty figure that says so."""
    if results is not None:
        return draw(results)
    fig = styled(go.Figure(), height=120, legend=False)
    fig.update_layout(margin={"t": 8, "b": 8})
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False)
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    text = "These results are awaited: their runs have not been made yet."
    fig.add_annotation(name="awaited", text=text, font={"size": 13, "color": GREY}, **place)
    return fig
