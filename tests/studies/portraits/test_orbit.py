"""The phase portrait: what moves, what the title says, what is refused."""

import json

import pandas as pd
import pytest
from made_up_results import SENTENCE, loaded, orbit_run, portrait_rows

from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store
from hmlcore.studies.kit.figure import one_trace
from hmlcore.studies.portraits.figures import FIGURES
from hmlcore.studies.portraits.orbit import phase_portrait


@pytest.fixture(scope="module")
def trace():
    return pd.DataFrame(portrait_rows(seed=0))


@pytest.fixture(scope="module")
def portrait(trace):
    return phase_portrait(trace)


def test_orbit_energies_and_gates_are_the_trace(trace, portrait):
    drawn = {t.name: t for t in portrait.data if t.name != "now"}
    assert drawn["orbit"].x == pytest.approx(trace["q"], rel=1e-4)
    assert drawn["orbit"].y == pytest.approx(trace["p"], rel=1e-4)
    assert drawn["total"].y == pytest.approx(trace["kinetic"] + trace["potential"], rel=1e-4)
    for name, column in (("kinetic", "kinetic"), ("potential", "potential"), ("write β", "beta")):
        assert drawn[name].y == pytest.approx(trace[column], rel=1e-4)


def test_frames_move_two_markers_and_nothing_else(trace, portrait):
    assert len(portrait.frames) == len(portrait.layout.sliders[0].steps) == 256
    moving = [i for i, t in enumerate(portrait.data) if t.name == "now"]
    for i, frame in enumerate(portrait.frames):
        assert list(frame.traces) == moving and frame.name == str(i)
        ring, dot = frame.data
        assert [len(ring.x), len(ring.y), len(dot.x), len(dot.y)] == [1, 1, 1, 1]
        assert (ring.x[0], ring.y[0]) == pytest.approx((trace["q"][i], trace["p"][i]), rel=1e-4)
        assert dot.x[0] == i
        assert set(frame.layout.to_plotly_json()) == {"title"}
    assert all(step.args[0] == (str(i),) for i, step in enumerate(portrait.layout.sliders[0].steps))


def test_size(portrait):
    assert len(portrait.to_json()) < 400_000


def test_title_keeps_the_current_token_at_one_place(portrait):
    titles = [frame.layout.title.text for frame in portrait.frames]
    assert portrait.layout.title.text == titles[0]
    visible = [t.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for t in titles]
    assert len({t.index("<b>") for t in visible}) == 1
    text = bytes(row["byte"] for row in portrait_rows(0))
    assert text.startswith(SENTENCE)
    at = text.index(b"&")
    assert (
        "kick\u00a0<b><span style='color:#D55E00'>&amp;</span></b>\u00a0drift:\u00a0&lt;symplectic&gt;↵"
        in titles[at]
    )
    assert ">␣</span>" in titles[text.index(b" ")]
    assert ">▯</span>" in titles[text.index(b"\xc3")]
    assert ">↵</span>" in titles[text.index(b"\n")]


def test_first_tokens_only(trace):
    fig = phase_portrait(trace, tokens=64)
    assert len(fig.frames) == 64 and "64 tokens" in fig.layout.annotations[-1].text


def test_bad_traces_are_refused(trace):
    with pytest.raises(HmlcoreError, match=r"trace lacks the columns \['q', 'gamma'\]"):
        phase_portrait(trace.drop(columns=["q", "gamma"]))
    with pytest.raises(HmlcoreError, match="at least 2 tokens, not 1"):
        phase_portrait(trace.head(1))
    two = pd.concat([trace.assign(spec_hash="a"), trace.assign(spec_hash="b")])
    with pytest.raises(HmlcoreError, match="trace holds 2 runs: choose one"):
        phase_portrait(two)


def test_choice_among_corpora(tmp_path):
    store = Store(tmp_path)
    for corpus, beta in (("pg19", 0.25), ("stdlib", 0.5)):
        run = orbit_run()
        spec = {**run.spec, "train": [{"task": "bytes", "corpus": corpus, "length": 256}]}
        store.write(Run(spec, run.provenance, run.rows, [{**row, "beta": beta} for row in run.trace]))
    traces = store.trace("laptop", "orbit", mixer="hml", seed=0)
    assert len(traces) == 512
    assert set(one_trace(traces)["beta"]) == {0.5}
    assert set(one_trace(traces, "pg19")["beta"]) == {0.25}
    stamp = phase_portrait(traces, corpus="pg19").layout.annotations[-1].text
    assert stamp == "laptop profile · CPU · 1 seed · pg19 · head 3 · 256 tokens of one input"
    with pytest.raises(HmlcoreError, match="unknown corpus of a trace 'bible'; known: pg19, stdlib"):
        phase_portrait(traces, corpus="bible")


def test_json_is_complete(portrait):
    content = json.loads(portrait.to_json())
    assert content["frames"][5]["data"][0] == {"x": [portrait.frames[5].data[0].x[0]],
                                               "y": [portrait.frames[5].data[0].y[0]],
                                               "type": "scatter"}  # fmt: skip


def test_the_portrait_shows_the_chosen_learning_rate(tmp_path):
    """Every rate that was tried leaves a trace; validation chooses which one is drawn."""
    store = Store(tmp_path)
    for lr, bits, beta in ((0.001, 3.0, 0.25), (0.003, 2.0, 0.5)):
        run = orbit_run(lr=lr, bits=bits)
        store.write(Run(run.spec, run.provenance, run.rows, [{**row, "beta": beta} for row in run.trace]))
    _, trace = FIGURES["phase_portrait"].draw(loaded(store, "orbit"), store)
    assert set(trace["beta"]) == {0.5} and set(trace["lr"]) == {0.003}
