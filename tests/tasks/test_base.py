"""The laws every task obeys, and the registry that builds them."""

import gzip
import json
import pickle
import random

import numpy as np
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, SPLITS, TASKS, LabelledTask, build_task

SMALL = {
    "copy": {"payload": 3, "delay": 4, "alphabet": 5},
    "mqar": {"length": 16, "pairs": 3, "vocab": 40},
    "bytes": {"corpus": "stdlib", "length": 24},
    "text": {"corpus": "stdlib", "tokenizer": "bytes", "length": 24},
    "overwrite": {"keys": 3, "writes": 6, "vocab": 16},
    "needle": {"length": 20, "needles": 2, "values": 2},
    "needle_text": {"length": 300},
    "word_problem": {"group": "S3", "length": 12},
    "addition": {"digits": 3, "base": 5},
    "recurrence": {"length": 12, "order": 2, "modulus": 5},
    "adding": {"length": 9, "levels": 6},
    "imdb": {"max_length": 48, "held_out": 84},
    "listops": {"max_length": 48, "training_examples": 400, "held_out": 100},
    "planted": {"facts": 1, "distance": 300, "vocab": 128},
}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A data folder with generated reviews for the one task whose text not every machine has."""
    root = tmp_path_factory.mktemp("data")
    (root / "imdb").mkdir()
    for split in ("train", "test"):
        records = [{"text": f"{split} review {i} is {'good' * (i % 2)}", "label": i % 2} for i in range(200)]
        content = "\n".join(map(json.dumps, records)).encode()
        (root / "imdb" / f"{split}.jsonl.gz").write_bytes(gzip.compress(content))
    return root


@pytest.fixture(params=sorted(TASKS))
def task(request, reviews, monkeypatch):
    if request.param == "imdb":
        monkeypatch.setenv("HMLCORE_DATA", str(reviews))
    return build_task(request.param, **SMALL[request.param])


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_registered_task_is_covered_here():
    assert set(SMALL) == set(TASKS)
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("split", SPLITS)
def test_shapes_types_and_ranges(task, split):
    batch = task.batch(split, 2, 7, 1)
    inputs, targets = batch[0], batch[-1]
    if isinstance(task, LabelledTask):
        assert batch.lengths.shape == targets.shape == (7,)
        assert batch.lengths.min() >= 1 and batch.lengths.max() <= task.length
        assert targets.min() >= 0 and targets.max() < task.classes
        targets = inputs
    for tensor in (inputs, targets):
        assert tensor.shape == (7, task.length)
        assert tensor.dtype == torch.int64
    assert inputs.min() >= 0 and inputs.max() < task.vocab_size
    scored = targets[targets != IGNORE]
    assert len(scored) > 0
    assert scored.min() >= 0 and scored.max() < task.vocab_size


@pytest.mark.parametrize("split", SPLITS)
def test_a_batch_is_a_pure_function(task, split):
    expected = task.batch(split, 3, 4, 9)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    task.batch(split, 0, 2, 5)
    again = type(task)(**task.knobs()).batch(split, 3, 4, 9)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert same(expected, again)
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])


def test_the_caller_owns_what_it_gets(task):
    first = task.batch("test", 0, 4, 0)
    kept = [tensor.clone() for tensor in first]
    for tensor in first:
        tensor.fill_(1)
    assert same(task.batch("test", 0, 4, 0), kept)


def test_seeds_indices_and_splits_draw_different_batches(task):
    batches = [task.batch("train", index, 8, seed) for index in range(3) for seed in range(3)]
    batches += [task.batch(split, 0, 8, 0) for split in ("validation", "test")]
    distinct = {batch.inputs.numpy().tobytes() for batch in batches}
    assert len(distinct) == len(batches)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_examples_ignore_seed_and_batch_size(task, split):
    whole = task.batch(split, 0, 84, 0)
    assert same(whole, task.batch(split, 0, 84, 123))
    for size in (1, 7, 12, 42):
        parts = [task.batch(split, index, size, 5) for index in range(84 // size)]
        assert same(whole, [torch.cat(tensors) for tensors in zip(*parts, strict=True)])


def test_training_does_not_meet_the_synthetic_test_set():
    # 36-letter payloads: an accidental repeat is out of the question, a shared stream is not.
    task = build_task("copy", payload=36)
    train = {row.tobytes() for i in range(20) for row in task.batch("train", i, 32, 0).inputs.numpy()}
    held_out = [row.tobytes() for s in SPLITS[1:] for row in task.batch(s, 0, 320, 0).inputs.numpy()]
    assert len(train) == 640 and len(set(held_out)) == 640
    assert not train & set(held_out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dev", 0, 1, 0), "unknown split 'dev'; known: test, train, validation"),
        (("train", -1, 1, 0), "index must be at least 0, got -1"),
        (("test", 0, 0, 0), "batch_size must be at least 1, got 0"),
        (("test", 0, 2.5, 0), "batch_size must be an integer of at least 1, got 2.5"),
        (("train", 0, 1, -3), "seed must be at least 0, got -3"),
    ],
)
def test_batch_refuses(task, arguments, message):
    with pytest.raises(HmlcoreError) as error:
        task.batch(*arguments)
    assert str(error.value) == message


def test_knobs_survive_json_and_pickle(task):
    task.batch("train", 0, 2, 0)
    assert build_task(task.name, **json.loads(json.dumps(task.knobs()))) == task
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task
    assert same(copy.batch("train", 1, 2, 0), task.batch("train", 1, 2, 0))
    assert len(pickle.dumps(task)) < 1000, "a pickled task must not carry its text"


def test_conditions_and_provenance_are_plain(task):
    assert task.conditions() == json.loads(json.dumps(task.conditions()))
    text = {"corpus", "data_version", "data_sha256"}
    known = {"bytes": text, "text": text, "imdb": text, "listops": {"data_version", "data_sha256"}}
    assert set(task.provenance()) == known.get(task.name, set())


def test_unknown_task_and_knob_list_the_known():
    with pytest.raises(HmlcoreError, match="unknown task 'recall'; known: adding, addition, bytes, copy"):
        build_task("recall")
    with pytest.raises(
        HmlcoreError, match="unknown knob of task 'copy' 'lag'; known: alphabet, cue, delay, payload"
    ):
        build_task("copy", lag=3)
