"""Pictures of states: every mixer has one, growing memories grow, others do not."""

import pytest
import torch

from hmlcore.evaluation.states import state_rows
from hmlcore.layers import MIXERS
from hmlcore.models import Backbone, BackboneConfig, Classifier

GROWING = ("attention", "hyena")
TOKENS = torch.tensor([1, 4, 2, 3, 1, 5, 2])
NAMES = [f"token {t}" for t in TOKENS.tolist()]


def rows_of(mixer, components=48, wrap=False):
    torch.manual_seed(0)
    config = BackboneConfig(6, mixer, d_model=16, layers=2, d_ff=16)
    model = Classifier(config, 3) if wrap else Backbone(config)
    return model, state_rows(model, TOKENS, NAMES, components)


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_a_row_a_token_and_component(mixer):
    model, rows = rows_of(mixer)
    components = {row["component"] for row in rows}
    assert {row["t"] for row in rows} == set(range(7)) and components == set(range(len(components)))
    assert len(rows) == 7 * len(components) and 12 <= len(components) <= 48
    assert [r["token"] for r in rows if r["component"] == 0] == NAMES
    assert all(r["floats"] == model.blocks[-1].mixer.state_size(r["t"] + 1) for r in rows)
    empty = sum(row["value"] is None for row in rows)
    assert (empty > 0) == (mixer in GROWING)
    if mixer in GROWING:  # what is not there yet comes later and stays
        for component in components:
            there = [row["value"] is not None for row in rows if row["component"] == component]
            assert there == sorted(there) and there[-1]
        last = [row["value"] for row in rows if row["t"] == 6]
        assert None not in last and len({row["floats"] for row in rows}) == 7


def test_values_are_those_of_the_state():
    """All of a GRU's sixteen floats: what the last block returns for the same tokens."""
    model, rows = rows_of("gru", components=16)
    _, states = model.hidden(TOKENS[None])
    found = torch.tensor([row["value"] for row in rows if row["t"] == 6])
    torch.testing.assert_close(found, states[-1].hidden.flatten(), rtol=1e-4, atol=1e-6)


def test_a_cache_shows_each_entry_from_its_token_on():
    model, rows = rows_of("attention", components=10_000)
    _, states = model.hidden(TOKENS[None])
    keys, values = (x[0].flatten() for x in states[-1][:2])
    found = torch.tensor([row["value"] for row in rows if row["t"] == 6])
    torch.testing.assert_close(found, torch.cat((keys, values)), rtol=1e-4, atol=1e-6)
    early = [row["component"] for row in rows if row["t"] == 2 and row["value"] is not None]
    assert early == [*range(48), *range(112, 160)]


def test_a_classifier_and_its_backbone_show_the_same():
    assert rows_of("hml", wrap=True)[1][0].keys() == rows_of("hml")[1][0].keys()
    model, rows = rows_of("hml", wrap=True)
    assert rows == state_rows(model.backbone, TOKENS, NAMES) and model.backbone.training
