"""Checkpoints: whole or absent, and refused where they cannot be trusted."""

import random

import pytest
import torch
from easy import fit, make_config, make_model
from safetensors.torch import save_file

from hmlcore.errors import HmlcoreError
from hmlcore.training.checkpoint import Damaged, collected, load_checkpoint, write_checkpoint
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
    state = torch.get_rng_state()
    other = make_model(seed=9)
    restored = build_optimizer(other, 0.01, 0.1)
    assert load_checkpoint(file, other, restored, "run-a") == ({"step": 1}, {})
    assert torch.equal(torch.get_rng_state(), state)
    same(model, optimizer, other, restored)
    assert [f.name for f in file.parent.iterdir()] == ["run.safetensors"]


def refused(file, message, kind=HmlcoreError, **options):
    with pytest.raises(HmlcoreError, match=message) as refusal:
        load(file, **options)
    assert type(refusal.value) is kind and str(file) in str(refusal.value) and "\n" not in str(refusal.value)
    assert (f"delete {file}" in str(refusal.value)) == (kind is HmlcoreError)  # damaged ones are set aside


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(trained, kept):
    file = trained[2]
    file.write_bytes(file.read_bytes()[:kept])
    refused(file, "is corrupt", Damaged)


def test_everything_in_the_file_is_under_its_hash(trained):
    """A flip anywhere, also in the header, is noticed before anything is restored, or changes nothing."""
    model, optimizer, file = trained
    content, draw, noticed = file.read_bytes(), random.Random(0), 0
    header, progress = int.from_bytes(content[:8], "little"), content.index(b"progress")
    places = range(len(content)), range(8 + header), range(progress, progress + 30)
    for number in range(100):
        broken = bytearray(content)
        broken[draw.choice(places[number % 3])] ^= 1 << draw.randrange(8)
        file.write_bytes(broken)
        other = make_model(seed=9)
        restored, untouched = build_optimizer(other, 0.01, 0.1), make_model(seed=9).state_dict()
        try:
            assert load_checkpoint(file, other, restored, "run-a") == ({"step": 1}, {})
            same(model, optimizer, other, restored)
        except Damaged as error:
            noticed += 1
            assert str(file) in str(error) and "\n" not in str(error)
            assert all(torch.equal(x, untouched[name]) for name, x in other.state_dict().items())
            assert not restored.state
    assert noticed > 90


@pytest.mark.parametrize("text", [b'"step\\": 1', b"run-a"])
def test_progress_and_the_run_are_under_the_hash(trained, text):
    file = trained[2]
    content = file.read_bytes()
    assert content.count(text) == 1
    file.write_bytes(content.replace(text, text[:-1] + bytes([text[-1] + 1])))
    refused(file, "its contents do not match their hash", Damaged)


def test_a_file_of_something_else_is_refused(trained, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_text("these are not weights, but they are long enough to be a header")
    refused(other, "is corrupt", Damaged)
    save_file({"weight": torch.zeros(2)}, other)
    refused(other, "is no hmlcore checkpoint of this version", Damaged)
    save_file({"weight": torch.zeros(2)}, other, {"format": "hmlcore checkpoint 0", "run": "run-a"})
    refused(other, "is no hmlcore checkpoint of this version", Damaged)


def test_a_checkpoint_of_another_run_is_refused(trained):
    refused(trained[2], "belongs to run run-a, not run-b", run="run-b")


def test_a_checkpoint_of_another_model_is_refused(trained):
    refused(trained[2], "does not fit the run's model", model=make_model("gru"))
    refused(trained[2], "does not fit the run's model", model=make_model(d_model=16))


def test_a_file_that_cannot_be_read_is_refused_and_stays(tmp_path):
    with pytest.raises(HmlcoreError, match=f"checkpoint {tmp_path} cannot be read") as refusal:
        load(tmp_path)
    assert not isinstance(refusal.value, Damaged)


def test_a_damaged_one_is_set_aside_and_the_run_begins_again(trained, capsys):
    """Nothing is deleted, however often it happens, and what comes of the run is what would have come."""
    file, wanted, models = trained[2], fit(make_model()), []
    damages = [b"broken", file.read_bytes()[:-1], file.read_bytes().replace(b'step\\": 1', b'step\\": 9')]
    for damage in damages:
        file.write_bytes(damage)
        models.append(make_model())
        found = fit(models[-1], checkpoint=file, run="run-a")
        assert (found.curve, found.tokens) == (wanted.curve, wanted.tokens)
        assert not file.exists()
    said = capsys.readouterr().err.splitlines()
    assert sorted(line.rpartition(": kept as ")[2] for line in said if "hml: checkpoint" in line) == [
        f"run.safetensors.damaged{number}, the run begins again" for number in ("", 1, 2)
    ]
    kept = sorted(file.parent.iterdir())
    assert [path.read_bytes() for path in kept] == damages


def test_training_refuses_the_checkpoint_of_another_run(trained):
    kept = trained[2].read_bytes()
    with pytest.raises(HmlcoreError, match="belongs to run run-a, not run-b"):
        fit(make_model(), make_config(), checkpoint=trained[2], run="run-b")
    assert trained[2].read_bytes() == kept


def test_a_folder_that_cannot_be_made_is_refused(trained, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HmlcoreError, match=r"cannot write the checkpoint .*file/run"):
        save_checkpoint(tmp_path / "file" / "run", *trained[:2], {}, "run-a")
