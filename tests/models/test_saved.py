"""A saved model comes back as it was, and no other file is taken for one."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.layers.base import decaying
from hmlcore.models import Backbone, BackboneConfig, Classifier
from hmlcore.models.saved import load_model, save_model
from hmlcore.models.tensor_file import digest

SPEC = {"experiment": "copy", "seed": 3, "lr": 0.003}


def backbone(mixer="hml", **changes):
    torch.manual_seed(0)
    return Backbone(BackboneConfig(11, mixer, **({"d_model": 16, "layers": 2, "d_ff": 24} | changes)))


def tokens():
    return torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_backbone_comes_back_to_the_last_bit(mixer, tmp_path):
    model = backbone(mixer)
    save_model(tmp_path / "m.safetensors", model, SPEC)
    again, extra = load_model(tmp_path / "m.safetensors")
    assert extra == SPEC and again.config == model.config
    assert torch.equal(again(tokens())[0], model(tokens())[0])
    assert decaying(again) == decaying(model)


@pytest.mark.parametrize("dynamics", ["leapfrog", "oscillator", "mlp"])
def test_a_model_comes_back_whose_layers_owned_what_dynamics_learn(dynamics, tmp_path):
    path, model = tmp_path / "m", backbone(mixer_args={"dynamics": dynamics}).double()
    save_model(path, model, SPEC)
    former = {n: n.replace("rule.net.", "well_").replace("rule.", "") for n in model.state_dict()}
    tensors = {former[name]: x for name, x in model.state_dict().items()}
    assert len(tensors.keys() - former.keys()) == {"leapfrog": 2, "oscillator": 1, "mlp": 6}[dynamics] * 2
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    rewritten(path, tensors, sha256=digest(tensors, metadata["config"], metadata["extra"]))
    again, extra = load_model(path)
    assert extra == SPEC and all(p.dtype == torch.float64 for p in again.parameters())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifier_comes_back(bidirectional, tmp_path):
    torch.manual_seed(0)
    model = Classifier(BackboneConfig(11, "gru", 16, 2, 24, {"hidden": 5}), 3, bidirectional)
    save_model(tmp_path / "m", model)
    again, extra = load_model(tmp_path / "m")
    assert extra == {} and again.bidirectional is bidirectional
    lengths = torch.tensor([4, 9])
    assert torch.equal(again(tokens(), lengths), model(tokens(), lengths))


def test_each_weight_keeps_its_dtype(tmp_path):
    model = backbone("gru").to(torch.bfloat16)
    model.norm.to(torch.float64)
    save_model(tmp_path / "m", model)
    again, _ = load_model(tmp_path / "m")
    dtypes = {name: p.dtype for name, p in again.named_parameters()}
    assert dtypes == {name: p.dtype for name, p in model.named_parameters()}
    assert set(dtypes.values()) == {torch.bfloat16, torch.float64}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_loading_leaves_the_random_state_alone(tmp_path):
    save_model(tmp_path / "m", backbone())
    before = torch.get_rng_state()
    load_model(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_second_save_replaces_the_first_and_leaves_nothing_else(tmp_path):
    save_model(tmp_path / "folder" / "m", backbone(layers=1))
    save_model(tmp_path / "folder" / "m", backbone(layers=3))
    assert len(load_model(tmp_path / "folder" / "m").model.blocks) == 3
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["m"]


def rewritten(path, tensors=None, **changes):
    """The file with other metadata, hash and all as before."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() | changes
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors or kept, path, metadata)


def test_missing_and_foreign_files_are_refused_by_name(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(HmlcoreError, match=rf"there is no model {path}"):
        load_model(path)
    with pytest.raises(HmlcoreError, match=rf"{tmp_path} is a folder, not a saved model"):
        load_model(tmp_path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(HmlcoreError, match=rf"{path} is no hmlcore model of this version"):
        load_model(path)
    save_file({"x": torch.zeros(1)}, path, {"format": "hmlcore checkpoint 1"})
    with pytest.raises(HmlcoreError, match=rf"{path} is the checkpoint of an unfinished run, no model"):
        load_model(path)
    path.write_bytes(b"\x80\x04not a model")
    with pytest.raises(HmlcoreError, match=rf"the model {path} is corrupt \(.+\)"):
        load_model(path)


def test_a_corrupt_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, backbone(), SPEC)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HmlcoreError, match=rf"the model {path} is corrupt"):
        load_model(path)
    path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    with pytest.raises(HmlcoreError, match=rf"the model {path} is corrupt \(its contents do not match"):
        load_model(path)
    path.write_bytes(whole)
    rewritten(path, extra=json.dumps(SPEC | {"seed": 4}))
    with pytest.raises(HmlcoreError, match="do not match their hash"):
        load_model(path)


def test_a_mixer_that_is_not_registered_here_is_named(tmp_path, monkeypatch):
    class Own(MIXERS["gru"]):
        name = "own"

    monkeypatch.setitem(MIXERS, "own", Own)
    save_model(tmp_path / "m", backbone("own"))
    assert type(load_model(tmp_path / "m").model.blocks[0].mixer) is Own
    monkeypatch.delitem(MIXERS, "own")
    with pytest.raises(HmlcoreError, match=r"m cannot be rebuilt: unknown mixer 'own'; known: attention"):
        load_model(tmp_path / "m")


def test_what_cannot_be_saved_is_refused_and_harms_no_file(tmp_path):
    path = tmp_path / "m"
    save_model(path, backbone())
    before = path.read_bytes()
    with pytest.raises(HmlcoreError, match="unknown class of model 'Linear'; known: Backbone, Classifier"):
        save_model(path, torch.nn.Linear(2, 2))
    for extra in ({"when": object()}, {"loss": float("nan")}):
        with pytest.raises(HmlcoreError, match=rf"the model cannot be saved to {path}: .*JSON"):
            save_model(path, backbone(), extra)
    assert path.read_bytes() == before
    with pytest.raises(HmlcoreError, match=rf"cannot write the model {path}/below"):
        save_model(path / "below", backbone())
