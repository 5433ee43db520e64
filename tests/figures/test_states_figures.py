"""Pictures of states, and what a memory costs at each length."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up_results import ALL_MIXERS, TIMED, listops_run, speed_run, state_floats

from hmlcore.errors import HmlcoreError
from hmlcore.figures.registry import FIGURES
from hmlcore.figures.states import memory_states, memory_table, state_size_figure
from hmlcore.figures.style import mixer_style
from hmlcore.results import Run, Store


@pytest.fixture(scope="module")
def trace(made_up_store):
    return FIGURES["memory_states"].draw(made_up_store, "laptop")[1]


@pytest.fixture(scope="module")
def picture(trace):
    return memory_states(trace)


def heat(picture, mixer):
    return picture.data[ALL_MIXERS.index(mixer)]


def test_the_trace_holds_the_chosen_run_of_every_mixer(made_up_store, trace):
    assert set(trace["mixer"]) == set(ALL_MIXERS) and set(trace["seed"]) == {0}
    assert (trace.groupby("mixer")["spec_hash"].nunique() == 1).all()
    every = made_up_store.trace("laptop", "lra_listops")
    assert every["spec_hash"].nunique() == 2 * len(ALL_MIXERS)  # each rate that was tried left one


def test_values_are_drawn_as_they_are_and_gaps_where_nothing_is_stored(picture, trace):
    for mixer in ("hml", "attention"):
        part = trace[trace["mixer"] == mixer].pivot(index="component", columns="t", values="value")
        drawn = np.array(heat(picture, mixer).z, dtype=float)
        assert drawn.shape == (48, 60)
        np.testing.assert_allclose(drawn, part.to_numpy(), atol=heat(picture, mixer).zmax / 100)
    gaps = {mixer: np.isnan(np.array(heat(picture, mixer).z, dtype=float)) for mixer in ALL_MIXERS}
    assert {mixer for mixer in ALL_MIXERS if gaps[mixer].any()} == {"attention", "hyena"}
    filled = (~gaps["attention"]).sum(axis=0)
    assert (np.diff(filled) >= 0).all() and filled[0] == 1 and filled[-1] == 48


def test_each_panel_has_its_own_symmetric_scale(picture, trace):
    for mixer in ALL_MIXERS:
        magnitudes = trace[trace["mixer"] == mixer]["value"].abs().dropna()
        panel = heat(picture, mixer)
        assert panel.zmax == -panel.zmin == pytest.approx(magnitudes.quantile(0.95))


def test_titles_say_how_large_a_state_is_and_whether_it_grows(picture):
    titles = [note.text for note in picture.layout.annotations]
    assert "HML: 2,048 floats" in titles
    assert f"Attention: {state_floats('attention', 60):,} floats, growing" in titles
    assert sum("growing" in title for title in titles) == 2


def test_the_input_is_readable_and_every_token_named(picture, trace):
    (text,) = (note.text for note in picture.layout.annotations if note.name == "input")
    tokens = list(trace[trace["mixer"] == "hml"].drop_duplicates("t")["token"])
    assert text.replace("<br>", " ").split() == tokens
    assert max(map(len, text.split("<br>"))) <= 100
    assert list(picture.data[0].x) == [f"{t} {token}" for t, token in enumerate(tokens)]


def test_a_state_of_zeros_is_drawn(trace):
    part = trace[trace["mixer"] == "gru"].assign(value=0.0)
    assert memory_states(part).data[0].zmax == 1.0


def test_size(picture):
    assert len(picture.to_json()) < 300_000 and picture.layout.height < 1000


def test_bad_traces_are_refused(trace):
    with pytest.raises(HmlcoreError, match=r"trace lacks the columns \['component', 'floats'\]"):
        memory_states(trace.drop(columns=["component", "floats"]))
    part = trace[trace["mixer"] == "hml"]
    with pytest.raises(HmlcoreError, match="trace holds 2 runs of 'hml': choose one"):
        memory_states(pd.concat([part, part.assign(spec_hash="other")]))


def test_sizes_are_those_of_the_rows(made_up_store):
    fig = state_size_figure(made_up_store.load("laptop", "speed"))
    for mixer in ALL_MIXERS:
        state, work = (t for t in fig.data if t.name == mixer_style(mixer).label)
        assert state.x == work.x == TIMED
        assert state.y == pytest.approx([4 * state_floats(mixer, length) for length in TIMED], rel=1e-4)
    assert math.isclose(fig.data[-1].y[0], 1.5e5 + 8 * state_floats("linoss", 128), rel_tol=1e-4)
    assert [t.name for t in fig.data if t.showlegend] == [mixer_style(m).label for m in ALL_MIXERS]
    assert fig.layout.yaxis.type == fig.layout.yaxis2.type == fig.layout.xaxis.type == "log"


def test_memory_table_says_what_grows(made_up_store):
    table = memory_table(made_up_store.load("laptop", "speed"))
    rows = {line.split(" & ")[0]: line.split(" & ") for line in table.latex.splitlines() if " & " in line}
    assert rows["mixer"][2:4] == ["state at 128", "state at 8,192"]
    assert rows["Attention"][1:4] == ["yes", "128 KiB", "8 MiB"]
    assert rows["HML"][1:4] == ["no", "8 KiB", "8 KiB"]
    assert {name for name, row in rows.items() if row[1] == "yes"} == {"Attention", "Hyena"}
    assert rows["GRU"][4] == f"{(1.5e5 + 8 * 384) / 1e6:.3g}"
    assert "laptop profile · CPU · 3 seeds" in table.html and "Parameters" not in table.html


def test_memory_table_of_listops_is_causal_and_leaves_training_rows_out(made_up_store):
    table = memory_table(made_up_store.load("laptop", "lra_listops"))
    assert "state at 32" in table.html and "state at 512" in table.html


def test_a_length_that_was_not_run_is_empty(tmp_path):
    store = Store(tmp_path)
    run = speed_run("attention", 0)
    rows = [row for row in run.rows if row.get("length", 0) <= 2048]
    store.write(Run(run.spec, run.provenance, rows))
    store.write(speed_run("gru", 0))
    latex = memory_table(store.load("laptop", "speed")).latex
    (line,) = (line for line in latex.splitlines() if line.startswith("Attention"))
    assert line.split(" & ")[1:4] == ["yes", "128 KiB", ""]


def test_several_widths_or_no_length_are_refused(tmp_path, made_up_store):
    store = Store(tmp_path)
    for d_model in (32, 64):
        store.write(listops_run("gru", 0, d_model=d_model))
    with pytest.raises(HmlcoreError, match=r"several widths \[32, 64\]"):
        memory_table(store.load("laptop", "lra_listops"))
    with pytest.raises(HmlcoreError, match="lack the column 'length'"):
        state_size_figure(made_up_store.load("laptop", "copy"))
