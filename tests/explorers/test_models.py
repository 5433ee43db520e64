"""The models of the package: small, complete, the runs of the grid, with the scores that are stored."""

import pytest
import torch

from hmlcore import paths
from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.metrics import evaluate
from hmlcore.explorers.kinds import KINDS
from hmlcore.explorers.models import LARGEST, files, packaged, source, spec_of
from hmlcore.explorers.starts import STARTS, start_of
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
    results = get_experiment("explorer-models").load(Store(paths.root() / "results"), "laptop")
    (entry, *_) = [e for e in extra["spec"]["evaluate"] if e["split"] == "test"]
    task = task_from(entry)
    scores = evaluate(model, task, "test", entry["examples"], entry["batch_size"], torch.device("cpu"))
    rows = results.where(variant=name).metric("accuracy", split="test", **task.conditions())
    assert scores.accuracy == pytest.approx(rows["value"].item(), abs=0.005)


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
