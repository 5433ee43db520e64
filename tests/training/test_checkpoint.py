"""Checkpoints: whole or absent, and refused where they cannot be trusted."""

import errno
import os

import pytest
import torch
from easy import fit, make_config, make_model
from safetensors import safe_open
from safetensors.torch import save_file

from hmlcore.errors import HmlcoreError
from hmlcore.models.tensor_file import digest
from hmlcore.training.checkpoint import collected, load_checkpoint, write_checkpoint
from hmlcore.training.optim import build_optimizer


def save_checkpoint(file, model, optimizer, progress, run):
    write_checkpoint(file, collected(model, optimizer), progress, run)


@pytest.fixture
def trained(tmp_path):
    """A model, its optimiser after one step, and their checkpoint."""
    model = make_model()
    optimizer = build_optimizer(model, 0.01, 0.1)
    model(torch.tensor([[1, 2, 3]]))[0].square().sum().backward()
    optimizer.step()
    file = tmp_path / "deep" / "run.safetensors"
    save_checkpoint(file, model, optimizer, {"step": 1}, "run-a")
    return model, optimizer, file


def load(file, run="run-a", model=None):
    model = model or make_model(seed=9)
    return load_checkpoint(file, model, build_optimizer(model, 0.01, 0.1), run)


def same(model, optimizer, other, restored):
    """Weights and the optimiser's state are equal to the last bit."""
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name
        assert optimizer.state[p].keys() == restored.state[q].keys()
        for key, value in optimizer.state[p].items():
            assert torch.equal(restored.state[q][key], value), (name, key)


def test_round_trip(trained):
    model, optimizer, file = trained
    random = torch.get_rng_state()
    other = make_model(seed=9)
    restored = build_optimizer(other, 0.01, 0.1)
    assert load_checkpoint(file, other, restored, "run-a") == ({"step": 1}, {})
    assert torch.equal(torch.get_rng_state(), random)
    same(model, optimizer, other, restored)
    assert [f.name for f in file.parent.iterdir()] == ["run.safetensors"]


def test_a_checkpoint_goes_on_whose_layers_owned_what_dynamics_learn(trained):
    """Weights and what the optimiser knows of them; the names are those of an earlier version."""
    model, optimizer, file = trained
    with safe_open(file, framework="pt") as old:
        tensors = {name.replace(".rule.", "."): old.get_tensor(name) for name in old.keys()}  # noqa: SIM118
        metadata = old.metadata()
    entries = ("model.{}", "optimizer.{}.exp_avg", "optimizer.{}.exp_avg_sq", "optimizer.{}.step")
    assert {entry.format("blocks.0.mixer.theta") for entry in entries} <= tensors.keys()
    save_file(tensors, file, metadata | {"sha256": digest(tensors)})
    other = make_model(seed=9)
    restored = build_optimizer(other, 0.01, 0.1)
    load_checkpoint(file, other, restored, "run-a")
    same(model, optimizer, other, restored)
    assert optimizer.state[model.blocks[0].mixer.rule.theta]["exp_avg"].any()


def refused(file, message, **options):
    with pytest.raises(HmlcoreError, match=message) as refusal:
        load(file, **options)
    assert str(file) in str(refusal.value) and f"delete {file}" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(trained, kept):
    file = trained[2]
    file.write_bytes(file.read_bytes()[:kept])
    refused(file, "is corrupt")


def test_a_flipped_bit_is_refused(trained):
    file = trained[2]
    content = bytearray(file.read_bytes())
    for at in (len(content) - 3, len(content) // 2):
        broken = content.copy()
        broken[at] ^= 4
        file.write_bytes(broken)
        refused(file, "is corrupt")


def test_a_file_of_something_else_is_refused(trained, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_text("these are not weights, but they are long enough to be a header")
    refused(other, "is corrupt")
    save_file({"weight": torch.zeros(2)}, other)
    refused(other, "is no hmlcore checkpoint of this version")
    save_file({"weight": torch.zeros(2)}, other, {"format": "hmlcore checkpoint 0", "run": "run-a"})
    refused(other, "is no hmlcore checkpoint of this version")


def test_a_checkpoint_of_another_run_is_refused(trained):
    refused(trained[2], "belongs to run run-a, not run-b", run="run-b")


def test_a_checkpoint_of_another_model_is_refused(trained):
    refused(trained[2], "does not fit the run's model", model=make_model("gru"))
    refused(trained[2], "does not fit the run's model", model=make_model(d_model=16))


def test_training_refuses_rather_than_starting_over(trained):
    trained[2].write_bytes(b"broken")
    with pytest.raises(HmlcoreError, match="is corrupt"):
        fit(make_model(), make_config(), checkpoint=trained[2], run="run-a")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_checkpoint(trained, call, monkeypatch):
    model, optimizer, file = trained
    kept = file.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = os if call == "fsync" else type(file)
    with monkeypatch.context() as patch:
        patch.setattr(target, call, full)
        message = f"cannot write the checkpoint {file}: No space left on device"
        with pytest.raises(HmlcoreError, match=message):
            save_checkpoint(file, model, optimizer, {"step": 2}, "run-a")
    assert file.read_bytes() == kept
    assert [f.name for f in file.parent.iterdir()] == ["run.safetensors"]
    assert load(file).progress == {"step": 1}


def test_a_folder_that_cannot_be_made_is_refused(trained, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HmlcoreError, match=r"cannot write the checkpoint .*file/run"):
        save_checkpoint(tmp_path / "file" / "run", *trained[:2], {}, "run-a")


def test_an_interrupted_write_leaves_nothing_behind(trained, monkeypatch):
    model, optimizer, file = trained
    kept = file.read_bytes()

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(file, model, optimizer, {"step": 2}, "run-a")
    assert file.read_bytes() == kept and len(list(file.parent.iterdir())) == 1
