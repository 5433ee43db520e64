"""Explorers in a notebook, without a browser: what they send, and what they refuse."""

import base64
import json
import re

import pytest
import torch

from hmlcore.explorers.kinds import KINDS
from hmlcore.explorers.widgets import (
    BindingExplorer,
    GradientExplorer,
    MemoryExplorer,
    PhaseExplorer,
    RaceExplorer,
    SlotsExplorer,
    StoreExplorer,
)
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.results import Store

CLASSES = {
    "phase": PhaseExplorer, "memory": MemoryExplorer, "gradient": GradientExplorer, "race": RaceExplorer,
    "binding": BindingExplorer, "slots": SlotsExplorer, "store": StoreExplorer,
}  # fmt: skip


def small(mixer="hml", vocab=3, **given):
    return Backbone(BackboneConfig(vocab, mixer, d_model=8, layers=1, d_ff=4, mixer_args=given))


def test_there_is_a_widget_for_every_explorer():
    assert {name: cls.kind_name for name, cls in CLASSES.items()} == {name: name for name in KINDS}


@pytest.mark.parametrize("name", [name for name, own in KINDS.items() if own.models])
def test_a_widget_opens_with_its_explorer_s_state(name):
    own, widget = KINDS[name], CLASSES[name]()
    state = widget.get_state()
    assert (state["explorer"], state["text"], list(state["sources"])) == (name, own.text, list(own.models))
    assert state["chosen"] == (own.models or ("",))[0] and state["at"] == (own.at - 1 if own.at else None)
    json.dumps(state["sources"])


def test_what_needs_no_model_opens_without_one():
    state = BindingExplorer().get_state()
    assert (state["explorer"], state["sources"], state["problem"]) == ("binding", {}, "")


def test_state_goes_both_ways():
    widget, seen = MemoryExplorer(text="aBa"), []
    widget.observe(lambda change: seen.append((change["name"], change["new"])), ["text", "at"])
    widget.set_state({"text": "aBcDa", "at": 3})  # as the front end sends it
    assert (widget.text, widget.at) == ("aBcDa", 3) and set(seen) == {("text", "aBcDa"), ("at", 3)}


def test_a_model_of_ones_own_travels_with_its_weights(tmp_path):
    model = small(num_heads=2)
    widget = PhaseExplorer(model, text="abca", alphabet="abc")
    raw = base64.b85decode(widget.sources["yours"]["weights"])
    assert len(raw) < 20_000 and b"blocks.0.mixer.in_proj.weight" in raw and widget.at is None


def test_an_empty_store_has_nothing_to_show(tmp_path):
    assert StoreExplorer(Store(tmp_path)).data == {"experiments": []}


def sick():
    model = small(num_heads=2)
    with torch.no_grad():
        model.embedding.weight[0, 0] = float("nan")
    return model


@pytest.mark.parametrize(
    ("model", "alphabet", "words"),
    [
        (lambda: small("retnet", num_heads=2), "abc", "explorers run hml, .*; the model's mixer is 'retnet'"),
        (lambda: small(num_heads=2), None, "alphabet must be given with a model"),
        (lambda: small(num_heads=2), "abcd", "alphabet has 4 characters, and the model 3 tokens"),
        (sick, "abc", "the model's weight embedding.weight is not finite"),
        (lambda: small(num_heads=2, vocab=20_000), "a" * 20_000, "explorers take models of at most 300,000"),
        (lambda: "nowhere.safetensors", None, "there is no model nowhere.safetensors"),
    ],
)
def test_what_the_page_could_not_show_is_told_in_the_widget(model, alphabet, words):
    widget = PhaseExplorer(model(), alphabet=alphabet)
    assert re.search(words, widget.problem) and widget.sources == {} and widget.get_state()["problem"]
    assert PhaseExplorer().problem == ""
