"""Pictures of states: what is stored is what is drawn."""

import numpy as np
import pandas as pd
import pytest
from made_up_results import ALL_MIXERS, loaded, state_floats

from hmlcore.errors import HmlcoreError
from hmlcore.studies.portraits.figures import FIGURES
from hmlcore.studies.portraits.states import memory_states


@pytest.fixture(scope="module")
def trace(made_up_store):
    return FIGURES["memory_states"].draw(loaded(made_up_store, "portraits"), made_up_store)[1]


@pytest.fixture(scope="module")
def picture(trace):
    return memory_states(trace)


def heat(picture, mixer):
    return picture.data[ALL_MIXERS.index(mixer)]


def test_the_trace_holds_the_chosen_run_of_every_mixer(made_up_store, trace):
    assert set(trace["mixer"]) == set(ALL_MIXERS) and set(trace["seed"]) == {0}
    assert (trace.groupby("mixer")["spec_hash"].nunique() == 1).all()


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
