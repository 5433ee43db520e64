"""Of what others build of ours, widgets, saved traces, configurations for transformers: what means nothing."""

from dataclasses import fields
from functools import partial
from inspect import signature

import pytest
import torch
from bad_values import answers

from hmlcore.explorers import widgets
from hmlcore.explorers.saved_trace import save_trace
from hmlcore.models import Backbone, BackboneConfig, SparseConfig
from hmlcore.results import Store

SIZES = {"vocab_size": 3, "d_model": 8, "layers": 1, "d_ff": 12}
EXPLORERS = [
    cls for cls in vars(widgets).values() if isinstance(cls, type) and issubclass(cls, widgets.Explorer)
]


def model():
    return Backbone(BackboneConfig(mixer="hml", **SIZES))


OF_MODELS = [e for e in EXPLORERS if "model" in signature(e).parameters and e is not widgets.Explorer]


@pytest.mark.parametrize("explorer", OF_MODELS)
def test_explorers(explorer):
    assert answers(explorer, ["model", "text", "at", "alphabet"]) == []
    assert answers(partial(explorer, model()), ["alphabet"]) == []
    assert answers(partial(explorer, model(), alphabet="abc"), ["text", "at"]) == []


def test_every_explorer_is_asked():
    others = {cls: list(signature(cls).parameters) for cls in EXPLORERS if cls not in OF_MODELS}
    del others[widgets.Explorer]
    assert others == {
        widgets.BindingExplorer: [],
        widgets.SlotsExplorer: ["text", "at"],
        widgets.StoreExplorer: ["store", "profiles"],
    }
    assert answers(widgets.SlotsExplorer, ["text", "at"]) == []


def test_the_explorer_of_a_store(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_RESULTS", str(tmp_path))
    good = {"store": Store(tmp_path), "profiles": ("smoke",)}
    assert answers(lambda **bad: widgets.StoreExplorer(**(good | bad)), good) == []


def test_a_saved_trace(tmp_path):
    good = {"model": model(), "tokens": torch.arange(3), "spelled": str, "block": -1}
    answer = partial(save_trace, tmp_path / "t.safetensors")
    answer(**good)
    assert answers(lambda **bad: answer(**(good | bad)), good) == []


def test_configurations_of_transformers():
    hf = pytest.importorskip("hmlcore.models.hf")

    def build(**bad):
        return hf.HmlForCausalLM(hf.HmlConfig(**{"mixer": "window_attention", **SIZES, **bad}))

    assert answers(build, [*(field.name for field in fields(BackboneConfig)), "sparse"]) == []
    own = {field.name for field in fields(SparseConfig)} - {field.name for field in fields(BackboneConfig)}
    small = {"chunk": 8, "buckets": 4, "ways": 2, "slot_dim": 4, "top": 2}
    window = {"window": 8, "num_heads": 2}
    assert answers(lambda **bad: build(mixer_args=window, sparse=small | bad), [*own, "mixer", "bukets"]) == []
    assert answers(hf.HmlForCausalLM.from_backbone, ["backbone"]) == []
