"""The models of the package: small, complete, the runs of the grid, with the scores that are stored."""

import math
import os
import subprocess
import sys

import pytest
import torch

from hmlcore import paths
from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.metrics import evaluate
from hmlcore.explorers.kinds import KINDS
from hmlcore.explorers.models import LARGEST, files, packaged, source, spec_of
from hmlcore.explorers.readback import read_back
from hmlcore.explorers.starts import STARTS, start_of
from hmlcore.explorers.steps import trace_model
from hmlcore.models.saved import load_model
from hmlcore.results import Store, spec_hash
from hmlcore.studies import get_experiment, protocol
from hmlcore.studies.explorers import ALPHABETS, STUDY
from hmlcore.studies.kit.comparison import task_from

FILES = files()
TRAINED = {name: path for name, path in FILES.items() if not name.endswith("-start")}


def test_they_are_the_runs_of_the_grid_and_small():
    specs = {spec["variant"]: spec for spec in protocol("explorer-models").grid("laptop")}
    assert set(TRAINED) == set(specs) and set(FILES) - set(TRAINED) == {f"{name}-start" for name in STARTS}
    assert {name: spec_hash(spec_of(path)) for name, path in TRAINED.items()} == {
        name: spec_hash(spec) for name, spec in specs.items()
    }
    sizes = [path.stat().st_size for path in FILES.values()]
    assert max(sizes) <= LARGEST and sum(sizes) <= 2_000_000


def test_every_explorer_finds_its_models_and_every_token_has_a_character():
    for own in KINDS.values():
        assert set(own.models) <= set(FILES)
    for name, one in packaged().items():
        assert one.alphabet == ALPHABETS[one.task]
        assert len(one.alphabet) == task_from(spec_of(FILES[name])["train"][0]).vocab_size


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_does_what_the_store_says_of_its_run(name):
    """Without training it again, which `hml verify explorer-models` does."""
    model, extra = load_model(TRAINED[name])
    if extra["spec"]["task"] == "text" and paths.data() is None:
        pytest.skip("its test text is of PG-19, and HMLCORE_DATA is not set")
    results = get_experiment("explorer-models").load(Store(paths.root() / "results"), "laptop")
    (entry, *_) = [e for e in extra["spec"]["evaluate"] if e["split"] == "test"]
    task = task_from(entry)
    scores = evaluate(model, task, "test", entry["examples"], entry["batch_size"], torch.device("cpu"))
    rows = results.where(variant=name).metric("accuracy", split="test", **task.conditions())
    assert scores.accuracy == pytest.approx(rows["value"].item(), abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hml-leapfrog", "attention"])
def test_a_model_is_as_good_made_again_where_sums_round_otherwise(name, tmp_path):
    """Within what `hml verify` allows, with other weights: as on another kind of CPU, by torch without vector
    instructions, whose sums come in another order."""
    other = {
        "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "HMLCORE_CHECKPOINTS": str(tmp_path),
        "HMLCORE_RESULTS": str(paths.root() / "results"),
    }  # fmt: skip
    run = spec_hash(spec_of(TRAINED[name]))[:16]
    done = subprocess.run(
        [sys.executable, "-m", "hmlcore", "verify", "--run", run], env=os.environ | other,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_model_of_text_expects_what_people_write():
    """A byte of English costs it a third of what it costs a model that knows nothing, wherever this runs."""
    model, _ = load_model(TRAINED["hml-text"])
    read = torch.tensor([list(b"The captain looked at the sea, and the captain said that the sea was calm.")])
    with torch.no_grad():
        logits, _ = model(read[:, :-1])
    bits = torch.nn.functional.cross_entropy(logits[0], read[0, 1:]).item() / math.log(2)
    assert bits < 8 / 3


def kept(name, text):
    """[T, T]: of what each token (column) wrote, the part held after each later one, mean over heads."""
    model, _ = load_model(TRAINED[name])
    alphabet = source(TRAINED[name]).alphabet
    steps = trace_model(model, torch.tensor([[alphabet.index(c) for c in text]]))[-1]
    held = read_back(steps).held[0].mean(-1)
    return held / held.diagonal()


def test_recall_keeps_a_pair_until_it_is_overwritten_and_text_about_a_word():
    """As the pages of the explorers say."""
    pairs = kept("hml", "aKbTcMdReXaF")
    assert pairs[9, 1] > 0.5 and pairs[11, 1] < 0.6 * pairs[10, 1] and pairs[11, 3] > 0.5
    text = "The captain looked at the sea, and the captain said that the sea was calm."
    band = kept("hml-text", text)
    assert band.diagonal(-1).mean() > 0.4 and band.diagonal(-8).mean() < 0.1


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_the_model_before_training(name):
    model, spec = start_of(name)
    saved = load_model(FILES[f"{name}-start"])
    assert saved.extra == {"spec": spec} and spec["steps"] == 0
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), saved.model.parameters(), strict=True))


def test_bad_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("not a model")
    with pytest.raises(HmlcoreError, match="text is no saved model of hmlcore"):
        source(tmp_path / "text")
    with pytest.raises(HmlcoreError, match="there is no model"):
        source(tmp_path / "absent")
    with pytest.raises(HmlcoreError, match="unknown explorer model 'chess'; known: "):
        packaged("chess")
    assert STUDY.name == "explorers"
