"""What a memory costs at each length."""

import math

import pandas as pd
import pytest
from made_up_results import ALL_MIXERS, TIMED, loaded, review_run, speed_run, state_floats

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import mixer_style
from hmlcore.results import ResultSet, Run, Store
from hmlcore.studies.speed.sizes import memory_table, state_size_figure


def test_sizes_are_those_of_the_rows(made_up_store):
    fig = state_size_figure(loaded(made_up_store, "speed"))
    for mixer in ALL_MIXERS:
        state, work = (t for t in fig.data if t.name == mixer_style(mixer).label)
        assert state.x == work.x == TIMED
        assert state.y == pytest.approx([4 * state_floats(mixer, length) for length in TIMED], rel=1e-4)
    assert math.isclose(fig.data[-1].y[0], 1.5e5 + 8 * state_floats("linoss", 128), rel_tol=1e-4)
    assert [t.name for t in fig.data if t.showlegend] == [mixer_style(m).label for m in ALL_MIXERS]
    assert fig.layout.yaxis.type == fig.layout.yaxis2.type == fig.layout.xaxis.type == "log"


def test_memory_table_says_what_grows(made_up_store):
    table = memory_table(loaded(made_up_store, "speed"))
    rows = {line.split(" & ")[0]: line.split(" & ") for line in table.latex.splitlines() if " & " in line}
    assert rows["mixer"][2:4] == ["state at 128", "state at 8,192"]
    assert rows["Attention"][1:4] == ["yes", "128 KiB", "8 MiB"]
    assert rows["HML"][1:4] == ["no", "8 KiB", "8 KiB"]
    assert {name for name, row in rows.items() if row[1] == "yes"} == {"Attention", "Hyena"}
    assert rows["GRU"][4] == f"{(1.5e5 + 8 * 384) / 1e6:.3g}"
    assert "laptop profile · CPU · 1 seed" in table.html and "Parameters" not in table.html


def test_memory_table_of_reviews_is_causal_and_leaves_training_rows_out(made_up_store):
    table = memory_table(loaded(made_up_store, "lra_text"))
    assert "state at 128" in table.html and "state at 512" in table.html


def test_a_length_that_was_not_run_is_empty(tmp_path):
    store = Store(tmp_path)
    run = speed_run("attention", 0)
    rows = [row for row in run.rows if row.get("length", 0) <= 2048]
    store.write(Run(run.spec, run.provenance, rows))
    store.write(speed_run("gru", 0))
    latex = memory_table(loaded(store, "speed")).latex
    (line,) = (line for line in latex.splitlines() if line.startswith("Attention"))
    assert line.split(" & ")[1:4] == ["yes", "128 KiB", ""]


def test_several_widths_or_no_length_are_refused(tmp_path, made_up_store):
    frames = []
    for d_model in (32, 64):
        store = Store(tmp_path / str(d_model))
        store.write(review_run("gru", 0, d_model=d_model))
        frames.append(loaded(store, "lra_text").frame)
    with pytest.raises(HmlcoreError, match=r"several widths \[32, 64\]"):
        memory_table(ResultSet(pd.concat(frames)))
    with pytest.raises(HmlcoreError, match="lack the column 'length'"):
        state_size_figure(loaded(made_up_store, "copy"))
