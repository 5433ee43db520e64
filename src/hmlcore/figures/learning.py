"""How training went: loss against steps."""

import plotly.graph_objects as go

from hmlcore.figures.marks import panels, room_for_legend, unlisted
from hmlcore.figures.style import in_order, mixer_style, rounded, stamp
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned


def learning_curves(results: ResultSet) -> go.Figure:
    """Training loss in nats a token against steps, a line a seed, a panel a corpus, direction and width."""
    results = tuned(results)
    rows, runs = results.metric("loss", split="train"), results.runs()
    parts = ("corpus", "direction", "d_model")
    parts = [column for column in parts if column in runs and runs[column].nunique() > 1]
    kinds = runs[parts].drop_duplicates().sort_values(parts) if parts else runs.iloc[:1][[]]
    named = [{str(part): value for part, value in kind.items()} for kind in kinds.to_dict("records")]
    names = named or [{}]
    titles = [", ".join(_panel_name(*item) for item in name.items()) for name in names]
    fig, cells = panels(titles, "step", "training loss (nats)")
    styles = [mixer_style(mixer) for mixer in results.mixers]
    dashed = len({style.color for style in styles}) < len(styles)  # related mixers share a color
    for name, where in zip(names, cells, strict=True):
        inside = runs[(runs[parts] == list(name.values())).all(axis=1)] if parts else runs
        for mixer in in_order(inside["mixer"]):
            style = mixer_style(mixer)
            for digest in inside.index[inside["mixer"] == mixer]:
                run = rows[rows["spec_hash"] == digest].sort_values("step")
                curve = go.Scatter(
                    x=rounded(run["step"], 8),
                    y=rounded(run["value"]),
                    mode="lines",
                    name=style.label,
                    legendgroup=style.label,
                    showlegend=unlisted(fig, style.label),
                    line={"color": style.color, "width": 1.3} | ({"dash": style.dash} if dashed else {}),
                    opacity=0.7,
                    hovertemplate=f"<b>{style.label}</b> seed {inside['seed'][digest]}"
                    "<br>step %{x}<br>loss %{y:.4g}<extra></extra>",
                    meta="seeds",
                )
                fig.add_trace(curve, **where)
    return stamp(room_for_legend(fig), results)


def _panel_name(column: str, value) -> str:
    return f"width {value}" if column == "d_model" else str(value)
