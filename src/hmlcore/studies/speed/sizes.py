"""What a memory costs: how large its state is at every length, and how much work a token is."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.crowd import faded
from hmlcore.figures.marks import doubling_axis, panels, room_for_legend, unlisted
from hmlcore.figures.style import in_order, mixer_style, rounded, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.studies.speed.timings import COLORED


def state_size_figure(results: ResultSet) -> go.Figure:
    """Bytes of state that one sequence needs, and work per token, against length; a line a mixer.

    Both follow from a model's sizes, so seeds do not differ.
    """
    sizes = _by_length(results)
    wanted = {"state_bytes": "state of one sequence", "flops_per_token": "FLOPs per token"}
    fig, cells = panels(["", ""], "length (tokens)", "", columns=1, height=300)
    for (column, title), where in zip(wanted.items(), cells, strict=True):
        for mixer in in_order(sizes["mixer"]):
            part, style = sizes[sizes["mixer"] == mixer], mixer_style(mixer)
            shown = [bytes_text(v) if column == "state_bytes" else f"{v:.3g} FLOPs" for v in part[column]]
            line = go.Scatter(
                x=rounded(part["length"], 12),
                y=rounded(part[column]),
                mode="lines+markers",
                name=style.label,
                legendgroup=style.label,
                showlegend=unlisted(fig, style.label),
                line={"color": style.color, "dash": style.dash, "width": 3 if mixer == "hml" else 1.5},
                marker={"symbol": style.symbol, "size": 6},
                text=shown,
                hovertemplate=f"{style.label}: %{{text}}<extra></extra>",
                meta="size",
            )
            fig.add_trace(line, **where)
        fig.update_yaxes(type="log", title_text=title, **where)
    fig.update_xaxes(**doubling_axis(sizes["length"]))
    fours = [4.0**power for power in range(2, 21)]  # from 16 bytes to a terabyte
    fig.update_yaxes(tickvals=fours, ticktext=[bytes_text(tick) for tick in fours], **cells[0])
    steps = [digit * 10.0**power for power in range(3, 12) for digit in (1, 2, 5)]
    fig.update_yaxes(tickvals=steps, ticktext=[f"{step / 1e6:g} M" for step in steps], **cells[1])
    fig.update_layout(hovermode="x", margin_l=84)
    return stamp(room_for_legend(faded(fig, COLORED)), results)


def memory_table(results: ResultSet) -> Table:
    """What each mixer's memory costs at the shortest and the longest length that was run."""
    sizes = _by_length(results)
    short, long = int(sizes["length"].min()), int(sizes["length"].max())
    lines = []
    for mixer in in_order(sizes["mixer"]):
        at = sizes[sizes["mixer"] == mixer].set_index("length").sort_index()
        first, last = at.iloc[0], at.iloc[-1]
        lines.append(
            {
                "mixer": mixer_style(mixer).label,
                "grows with length": "yes" if last["state_bytes"] > first["state_bytes"] else "no",
                f"state at {short:,}": bytes_text(at["state_bytes"][short]) if short in at.index else "",
                f"state at {long:,}": bytes_text(at["state_bytes"][long]) if long in at.index else "",
                f"MFLOPs a token at {short:,}": _mega(at, short),
                f"MFLOPs a token at {long:,}": _mega(at, long),
                "parameters": int(last["parameters"]),
            }
        )
    frame = pd.DataFrame(lines)
    spread = frame["parameters"].max() / frame["parameters"].min() - 1
    remarks = [f"Parameters differ by up to {spread:.0%}"] if spread > 0.01 else []
    note = ". ".join([results.stamp(), "State of one sequence, computed from the sizes of the model", *remarks])
    return render(frame, note=note, caption="What a memory costs.")


def _by_length(results: ResultSet) -> pd.DataFrame:
    """A row a mixer and length with its state_bytes, flops_per_token and parameters; causal models only."""
    frame = results.frame
    require("length" in frame, f"results of {results.experiment!r} lack the column 'length'")
    if "direction" in frame:
        frame = frame[frame["direction"] == "causal"]
    widths = sorted(int(width) for width in set(frame["d_model"].dropna()))
    require(len(widths) <= 1, f"results have several widths {widths}: choose one")
    frame = frame[frame["length"].notna()]
    require(len(frame) > 0, f"results of {results.experiment!r} have no row with a length")
    columns = ["state_bytes", "flops_per_token", "parameters"]
    sizes = frame.groupby(["mixer", "length"], as_index=False)[columns].first()
    return sizes.sort_values(["mixer", "length"])


def _mega(at: pd.DataFrame, length: int) -> str:
    return f"{at['flops_per_token'][length] / 1e6:.3g}" if length in at.index else ""
