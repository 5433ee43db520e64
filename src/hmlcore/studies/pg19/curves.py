"""Language models of books: bits per byte against context and position, tokenizers, and how training went."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.crowd import crowded
from hmlcore.figures.marks import add_keys, add_limit, add_seeds, doubling_axis, panels, traces_of
from hmlcore.figures.style import BOTTOM, GREY, in_order, mixer_style, rounded, stamp
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.pg19.claims import ALL, training_context

TRAINED = {
    ("bpe", "windows"): "byte pairs, random windows",
    ("bpe", "carried"): "byte pairs, carried state",
    ("bytes", "windows"): "bytes, random windows",
}
"""Tokenizer and way of training, in the order figures and tables list them."""
_ROOM = 70  # pixels that the slider over books takes


def published(results: ResultSet, **conditions) -> ResultSet:
    """The runs that count, at the chosen rates: those that were made for tuning are left out."""
    return tuned(results).where(**{"variant": ["windows", "carried"], **conditions})


def ways(results: ResultSet) -> list[tuple[str, str]]:
    """(tokenizer, way of training) of the runs, in the order of :data:`TRAINED`."""
    found = set(results.runs()[["task", "variant"]].itertuples(index=False, name=None))
    return [way for way in TRAINED if way in found]


def books_stamp(results: ResultSet) -> str:
    """The stamp of `results` with the number of test books."""
    books = set(results.metric("bits_per_byte")["document"]) - {ALL}
    return f"{results.stamp()} · {len(books)} book{'s' if len(books) != 1 else ''}"


def pg19_by_context(results: ResultSet) -> go.Figure:
    """Bits per byte of all test books against context, byte pairs; a panel a way of training, every seed a dot,
    HML thick; lower is better. The dotted line marks the context of training.
    """
    results = published(results, task="bpe")
    rows = results.metric("bits_per_byte", document=ALL)
    found = [variant for _, variant in ways(results)]
    titles = [TRAINED["bpe", variant].partition(", ")[2] for variant in found]
    fig, cells = panels(titles, "context (tokens)", "bits per byte", height=400)
    add_keys(fig, rows["mixer"])
    for variant, where in zip(found, cells, strict=True):
        here = rows[rows["variant"] == variant]
        _limit(fig, training_context(results), here["value"], where)
        for mixer in in_order(here["mixer"]):
            part = here[here["mixer"] == mixer]
            add_seeds(fig, part, "context", what="bits per byte", legend=False, where=where)
    fig.update_xaxes(**_tokens_axis(rows["context"]))
    return stamp(crowded(fig, best="lowest"), books_stamp(results), rows["n"])


def pg19_tokenizers(results: ResultSet) -> go.Figure:
    """Bits per byte against the bytes of text in view, a panel a tokenizer: the mixers that read both.

    Bytes in view are tokens times bytes per token, log₂ perplexity over bits per byte; at most those of a book.
    """
    results = published(results, variant="windows")
    rows = results.metric("bits_per_byte")
    tokenizers = [task for task, _ in ways(results)]
    both = set.intersection(*(set(rows.loc[rows["task"] == task, "mixer"]) for task in tokenizers))
    require(len(both) > 0, f"no mixer was trained on all of {tokenizers}")
    rows = _bytes_in_view(results, rows[rows["mixer"].isin(both)])
    titles = [TRAINED[task, "windows"].partition(",")[0] for task in tokenizers]
    fig, cells = panels(titles, "text in view (bytes)", "bits per byte", height=340)
    add_keys(fig, both)
    for task, where in zip(tokenizers, cells, strict=True):
        here = rows[rows["task"] == task]
        trained = here.loc[here["context"] == training_context(results, task), "view"].min()
        _limit(fig, trained, here["value"], where)
        for mixer in in_order(both):
            part = here[here["mixer"] == mixer]
            add_seeds(fig, part, "view", what="bits per byte", legend=False, where=where)
    # One scale of bytes for both: powers of four.
    low, high = np.log10(rows["view"].min()) - 0.08, np.log10(rows["view"].max()) + 0.08
    ticks = [4**power for power in range(16) if low <= np.log10(4**power) <= high]
    fig.update_xaxes(
        type="log", range=rounded([low, high]), tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks]
    )
    return stamp(crowded(fig, best="lowest"), books_stamp(results), rows["n"])


def pg19_position(results: ResultSet) -> go.Figure:
    """Left, bits per byte by position in the book at the longest context; right, what they are above or below
    those at the training context on the same tokens: what the longer memory is worth. A slider chooses books.

    Byte pairs, random windows; means over seeds, each of which is in the hover text.
    """
    results = published(results, task="bpe", variant="windows")
    rows = results.metric("bits_per_byte_at")
    short = training_context(results)
    rows = _against(rows, short)
    titles = [f"context {rows['context'].max():,}", f"minus context {short:,}, same tokens"]
    fig, cells = panels(titles, "position (start of bin, tokens)", "bits per byte", height=360)
    keys = add_keys(fig, rows["mixer"])
    books = [ALL, *sorted(set(rows["document"]) - {ALL})]
    groups = []
    for book in books:
        before = len(traces_of(fig))
        for column, where in zip(("value", "gain"), cells, strict=True):
            here = rows[(rows["document"] == book) & rows[column].notna()]
            _limit(fig, f"{short:,}", here[column], where)
            for mixer in in_order(here["mixer"]):
                fig.add_trace(_line(here[here["mixer"] == mixer], column), **where)
        groups.append(range(before, len(traces_of(fig))))
    shown = [[i < keys or i in group for i in range(len(traces_of(fig)))] for group in groups]
    for trace, visible in zip(traces_of(fig), shown[0], strict=True):
        trace.visible = visible
    order = [f"{position:,}" for position in sorted(set(rows["position"]))]
    fig.update_xaxes(type="category", categoryorder="array", categoryarray=order)
    # The two panels measure different things: each has its own axis.
    fig.update_yaxes(matches=None, showticklabels=True)
    fig.update_layout(xaxis_domain=[0, 0.465], xaxis2_domain=[0.535, 1])
    fig = crowded(fig, best="lowest")
    fig.update_layout(
        sliders=[_slider(books, shown)], margin_b=BOTTOM + _ROOM, height=fig.layout.height + _ROOM
    )
    return stamp(fig, books_stamp(results))


def pg19_learning(results: ResultSet) -> go.Figure:
    """Training loss in nats per token against the text read, a line a seed; a panel a tokenizer and way of
    training. Losses of different tokenizers are not comparable.
    """
    results = published(results)
    rows = results.metric("loss", split="train")
    size = results.metric("training_bytes", split="train").groupby("spec_hash")["value"].first()
    found = ways(results)
    fig, cells = panels([TRAINED[way] for way in found], "text read (MB)", "training loss (nats a token)")
    add_keys(fig, rows["mixer"])
    for (task, variant), where in zip(found, cells, strict=True):
        here = rows[(rows["task"] == task) & (rows["variant"] == variant)]
        for mixer in in_order(here["mixer"]):
            style = mixer_style(mixer)
            for digest, run in here[here["mixer"] == mixer].sort_values("step").groupby("spec_hash"):
                seed, read = run["seed"].iloc[0], run["step"] / run["steps"] * size[digest] / 1e6
                text = f"<b>{style.label}</b> seed {seed}<br>%{{x:.3g}} MB read<br>loss %{{y:.4g}}"
                curve = go.Scatter(
                    x=rounded(read), y=rounded(run["value"]), mode="lines", opacity=0.7, name=style.label,
                    legendgroup=style.label, showlegend=False, meta="seeds",
                    line={"color": style.color, "dash": style.dash, "width": 3 if mixer == "hml" else 1.2},
                    hovertemplate=f"{text}<br>hml show {str(digest)[:8]}<extra></extra>",
                )  # fmt: skip
                fig.add_trace(curve, **where)
    return stamp(crowded(fig, best="lowest"), results)


def _tokens_axis(values: pd.Series) -> dict:
    axis = doubling_axis(values)
    return axis | {"ticktext": [f"{tick:,.0f}" for tick in axis["tickvals"]]}


def _limit(fig: go.Figure, at, values: pd.Series, where: dict) -> None:
    if len(values):
        span = float(values.min()), float(values.max())
        add_limit(fig, at, span, f"context of training: {at if isinstance(at, str) else f'{at:,.0f}'}", where)


def _bytes_in_view(results: ResultSet, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of all documents together, with a column `view`: the bytes that a context spans."""
    at = ["spec_hash", "context"]
    longest = rows[rows["document"] != ALL].groupby(at)["n"].max().rename("book")
    pairs = results.metric("perplexity", document=ALL).set_index(at)["value"].rename("perplexity")
    rows = rows[rows["document"] == ALL].join(longest, on=at).join(pairs, on=at)
    # The tokenizer fixes bytes per token, whatever the model pays for them: one number for all rows of it.
    size = pd.Series(np.log2(rows["perplexity"]) / rows["value"])
    size = size.groupby(rows["task"]).transform("median")
    return rows.assign(view=(rows[["context", "book"]].min(axis=1) * size).round())


def _against(rows: pd.DataFrame, short: int) -> pd.DataFrame:
    """Rows of the longest context with a column `gain`, the value minus that at context `short` where both
    scored the same tokens."""
    at = ["spec_hash", "document", "position", "n"]
    before = rows[rows["context"] == short].set_index(at)["value"].rename("before")
    rows = rows[rows["context"] == rows["context"].max()].join(before, on=at)
    return rows.assign(gain=rows["value"] - rows["before"])


def _line(rows: pd.DataFrame, column: str) -> go.Scatter:
    style = mixer_style(rows["mixer"].iloc[0])
    bins = [(position, part.sort_values("seed")) for position, part in rows.groupby("position")]
    sign = "+" if column == "gain" else ""
    text = [
        "<br>".join(
            [f"<b>{style.label}</b> {part[column].mean():{sign}.4f}, n = {int(part['n'].iloc[0]):,}"]
            + [
                f"seed {seed}: {value:{sign}.4f}, hml show {digest[:8]}"
                for seed, value, digest in part[["seed", column, "spec_hash"]].itertuples(index=False)
            ]
        )
        for _, part in bins
    ]
    return go.Scatter(
        x=[f"{position:,}" for position, _ in bins], y=rounded(part[column].mean() for _, part in bins),
        mode="lines+markers", name=style.label, legendgroup=style.label, showlegend=False, meta="mean",
        line={"color": style.color, "dash": style.dash}, marker={"symbol": style.symbol, "size": 5},
        text=text, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _slider(books: list[str], shown: list[list[bool]]) -> dict:
    """A step a book; titles are too long to stand below it, so only the chosen one is written."""
    steps = [
        {"label": "all books" if book == ALL else book, "method": "update", "args": [{"visible": visible}]}
        for book, visible in zip(books, shown, strict=True)
    ]
    return {
        "active": 0, "steps": steps, "currentvalue": {"prefix": "book: ", "font": {"size": 13, "color": GREY}},
        "pad": {"t": 64, "b": 0}, "x": 0, "len": 1, "tickcolor": GREY, "bordercolor": GREY,
        "bgcolor": "rgba(128,128,128,0.3)", "font": {"size": 1, "color": "rgba(0,0,0,0)"},
    }  # fmt: skip
