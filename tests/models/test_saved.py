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
    metadata, _ = contents(path)
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


def contents(path):
    """Metadata and tensors of the file."""
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewritten(path, tensors=None, **changes):
    """The file with other metadata, hash and all as before."""
    metadata, kept = contents(path)
    save_file(tensors or kept, path, metadata | changes)


def test_missing_and_foreign_files_are_refused_by_name(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(HmlcoreError, match=rf"there is no model {path}"):
        load_model(path)
    with pytest.raises(HmlcoreError, match=rf"{tmp_path} is a folder, not a saved model"):
        load_model(tmp_path)
    with pytest.raises(HmlcoreError, match="/dev/null is a device or pipe, not a saved model"):
        load_model("/dev/null")
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


def forged(path, **changes):
    """The file with another configuration, its hash made to fit."""
    metadata, tensors = contents(path)
    config = json.loads(metadata["config"])
    for place in (config, config["backbone"]):
        place.update({key: value for key, value in changes.items() if key in place})
    text = json.dumps(config)
    rewritten(path, tensors, config=text, sha256=digest(tensors, text, metadata["extra"]))


SIZE = r"its weight .+ is \(.+\), and its configuration asks for \(.+\)"
FORGED = {
    "layers": ({"layers": 10**7}, "its configuration says layers = 10000000, and it holds 2 blocks"),
    "fewer layers": ({"layers": 1}, "its configuration says layers = 1, and it holds 2 blocks"),
    "endless layers": ({"layers": 10**30}, "its configuration says layers = 1000000.*, and it holds 2 blocks"),
    "layers by word": ({"layers": "two"}, "its configuration says layers = 'two', and it holds 2 blocks"),
    "width": ({"d_model": 2**20}, SIZE),
    "depth": ({"d_ff": 2**30}, SIZE),
    "vocabulary": ({"vocab_size": 2**31 - 1}, SIZE),
    "beyond numbers": ({"vocab_size": 10**30}, ""),
    "heads": ({"mixer_args": {"conv_size": 10**9}}, SIZE),
    "rotors": ({"mixer_args": {"rotors": 2**31 - 1}}, "rotors must be at most"),
    "other weights": ({"mixer": "gru", "mixer_args": {"hidden": 8}}, "its weight .+ configuration"),
    "classes": ({"classes": 10**9}, SIZE),
    "no list": ({"backbone": [3]}, ""),
    "no number": ({"d_ff": None}, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_configuration_that_its_weights_deny_is_refused_before_it_is_built(case, tmp_path, monkeypatch):
    changes, message = FORGED[case]
    save_model(tmp_path / "m", Classifier(backbone().config, 3))
    forged(tmp_path / "m", **changes)
    build = Backbone.__init__

    def small(model, config):
        assert config.layers == 1 and torch.empty(0).is_meta, "built before it was compared"
        build(model, config)

    monkeypatch.setattr(Backbone, "__init__", small)
    with pytest.raises(HmlcoreError, match=rf"the model {tmp_path}/m cannot be rebuilt: {message}") as refusal:
        load_model(tmp_path / "m")
    assert "\n" not in str(refusal.value)


def test_blocks_that_lack_weights_are_refused_before_they_are_built(tmp_path):
    save_model(tmp_path / "m", backbone(layers=3))
    metadata, tensors = contents(tmp_path / "m")
    tensors = {name: x for name, x in tensors.items() if "blocks.1.mixer.in" not in name}
    rewritten(tmp_path / "m", tensors, sha256=digest(tensors, metadata["config"], metadata["extra"]))
    with pytest.raises(HmlcoreError, match=r"cannot be rebuilt: it lacks weights: \d+ of \d+ are there"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("text", ["[" * 100_000, "7", "{", '"\\ud83d"'])
def test_texts_in_a_file_that_mean_nothing_are_refused(text, tmp_path):
    save_model(tmp_path / "m", backbone())
    metadata, tensors = contents(tmp_path / "m")
    for changes in ({"config": text}, {"extra": text}):
        both = metadata | changes
        rewritten(tmp_path / "m", tensors, sha256=digest(tensors, both["config"], both["extra"]), **changes)
        with pytest.raises(HmlcoreError, match=rf"the model {tmp_path}/m cannot be rebuilt: .+"):
            load_model(tmp_path / "m")
        rewritten(tmp_path / "m", tensors, **metadata)


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
