"""The floor counts exactly what a run has read, and is asked about exactly what the run is scored on."""

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.ngrams import KneserNey
from hmlcore.results import canonical
from hmlcore.studies.kit import floor
from hmlcore.studies.kit.comparison import scored, task_from, task_spec
from hmlcore.studies.kit.floor import floor_rows, training_rows

WORDS = ["the", "sea", "was", "calm", "and", "a", "ship", "lay", "at", "anchor", "by", "old", "harbours"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty texts of few words, of several lengths."""
    root = tmp_path_factory.mktemp("floor") / "texts"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(20):
        drawn = rng.choice(WORDS, size=120 + 40 * (number % 3))
        (root / f"{number}.txt").write_text(f"{number} {' '.join(drawn)}")
    return root


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    floor._rows.cache_clear()


def text(folder, **knobs):
    return task_spec("text", **{"corpus": str(folder), "tokenizer": "bytes", "length": 24, **knobs})


def spec_of(*train, evaluate=None, **changes):
    evaluate = scored([train[0]], "validation", 8, 4) if evaluate is None else evaluate
    return {"train": [*train], "evaluate": evaluate, "steps": 12, "batch_size": 4, "seed": 3, **changes}


def test_windows_are_rows_and_are_those_of_the_training(folder):
    tasks = [task_from(text(folder)), task_from(text(folder, length=16))]
    rows, _ = training_rows(tasks, 5, 3, 7)
    assert [len(row) for row in rows] == 3 * [25] + 3 * [17] + 3 * [25] + 3 * [17] + 3 * [25]
    for step in range(5):
        batch = tasks[step % 2].batch("train", step, 3, 7)
        here = np.stack(rows[3 * step : 3 * step + 3])
        assert np.array_equal(here[:, :-1], batch.inputs) and np.array_equal(here[:, 1:], batch.targets)


def test_places_say_where_in_the_text_rows_begin(folder):
    """Of several corpora too, which have no place in common."""
    tasks = [task_from(text(folder)), task_from(task_spec("bytes", corpus=str(folder), length=16))]
    everything = np.concatenate([tasks[0].tokens("train")[i] for i in range(len(tasks[0].tokens("train")))])
    rows, places = training_rows(tasks, 6, 3, 2)
    assert all(np.array_equal(everything[p : p + len(r)], r) for r, p in zip(rows, places, strict=True))
    other = folder.parent / "others"
    other.mkdir()
    for number in range(9):
        (other / f"{number}.txt").write_text(f"{number} another text of which nothing is in the first")
    rows, places = training_rows([tasks[0], task_from(text(other))], 6, 3, 2)
    assert all((p < len(everything)) == (i // 3 % 2 == 0) for i, p in enumerate(places))


def test_reading_on_and_on_makes_the_floor_no_worse(folder):
    """A text read many times was written once; counted as often, its grams would pass for sure."""
    often = spec_of(text(folder), steps=1500)
    read, _ = training_rows([task_from(often["train"][0])], 1500, 4, 3)
    task = task_from(often["train"][0])
    batches = [task.batch("validation", i, 4, 0) for i in range(2)]
    held = np.concatenate([np.concatenate([b.inputs, b.targets[:, -1:]], 1) for b in batches])
    naive = KneserNey(read, 256, 5).bits(held)[:, 1:].mean()
    assert floor_rows(often)[0]["value"] < naive - 0.01


def test_a_stream_is_one_row_for_each_document(folder):
    """No token twice where a batch goes on, and never two documents in one row."""
    task = task_from(text(folder, order="stream"))
    rows, places = training_rows([task], 90, 4, 1)
    documents = [task.tokens("train")[i] for i in range(len(task.tokens("train")))]
    begins = np.cumsum([0, *map(len, documents)]).tolist()
    for row, place in zip(rows, places, strict=True):
        assert np.array_equal(row, documents[begins.index(place)][: len(row)])
    assert sum(len(row) - 1 for row in rows) == 90 * 4 * 24
    assert max(len(row) for row in rows) > 10 * 24  # documents are not cut where batches are
    assert len({tuple(row) for row in rows}) > 10


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
@pytest.mark.parametrize("reads", ["windows", "stream"])
def test_the_floor_is_the_model_of_these_rows_at_the_scored_targets(folder, tokenizer, reads):
    asked = text(folder, tokenizer=tokenizer, vocab=270)
    spec = spec_of(asked | {"order": reads}, evaluate=scored([asked], "validation", 8, 4))
    task = task_from(asked)
    read, places = training_rows([task_from(spec["train"][0])], 12, 4, 3)
    model, bits, size, n = KneserNey(read, task.vocab_size, 3, places), 0.0, 0, 0
    for index in range(2):
        batch = task.batch("validation", index, 4, 0)
        for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            bits += model.bits([np.array([*inputs, targets[-1]])])[0][1:].sum()
            size += int(task.token_bytes[targets].sum())
            n += len(targets)
    found = {row["metric"]: row["value"] for row in floor_rows(spec, order=3)}
    wanted = {"ngram_bits": bits / n, "ngram_bits_per_byte": bits / size, "bytes_per_token": size / n}
    assert found == pytest.approx(wanted, rel=1e-12)
    assert found["ngram_bits_per_byte"] < 0.7 * floor_rows(spec, order=1)[1]["value"]


def test_rows_say_where_they_are_from(folder):
    tests = scored([text(folder), text(folder, length=16)], "test", 4, 4)
    rows = floor_rows(spec_of(text(folder), evaluate=scored([text(folder)], "validation", 8, 4) + tests))
    places = [(r["metric"], r["split"], r["length"], r["context"], r["n"]) for r in rows]
    metrics = ("ngram_bits", "ngram_bits_per_byte", "bytes_per_token")
    wanted = [("validation", 24, 24, 192), ("test", 24, 24, 96), ("test", 16, 16, 64)]
    assert places == [(metric, *place) for place in wanted for metric in metrics]
    assert {r["corpus"] for r in rows} == {"folder:texts"}


def test_bytes_as_a_task_of_their_own_have_the_same_floor(folder):
    spec = spec_of(task_spec("bytes", corpus=str(folder), length=24))
    found = {row["metric"]: row["value"] for row in floor_rows(spec)}
    assert found["bytes_per_token"] == 1 and found["ngram_bits"] == found["ngram_bits_per_byte"] < 4


def test_what_was_trained_decides_and_nothing_else_of_the_run(folder, monkeypatch):
    made = []
    monkeypatch.setattr(floor, "training_rows", lambda *args: made.append(args) or training_rows(*args))
    spec = spec_of(text(folder))
    first = floor_rows(spec)
    assert floor_rows(spec | {"mixer": "gru", "lr": 1.0, "model": {"d_model": 8}}) == first and len(made) == 1
    first[0]["value"] = 0.0
    assert floor_rows(spec)[0]["value"] > 0  # a caller's changes stay its own
    others = [floor_rows(spec | change) for change in ({"seed": 4}, {"steps": 13}, {"batch_size": 5})]
    values = [rows[0]["value"] for rows in [floor_rows(spec), *others, floor_rows(spec, order=2)]]
    assert len(made) == 5 and len(set(values)) == 5


def test_a_folder_that_changed_is_counted_again(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text(f"{number} " + "ab" * 60)
    spec = spec_of(text(tmp_path))
    before = floor_rows(spec)[0]["value"]
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text(f"{number} " + "".join(map(chr, range(33, 120))))
    assert floor_rows(spec)[0]["value"] != before


def test_runs_of_other_tasks_have_no_floor(folder):
    copy = task_spec("copy", payload=4, delay=8)
    assert floor_rows(spec_of(copy)) == floor_rows(spec_of(text(folder), copy)) == []
    assert floor_rows(spec_of(text(folder), evaluate=scored([copy], "test", 4))) == []


def test_bad_input_is_refused(folder):
    with pytest.raises(HmlcoreError, match="order must be at least 1, got 0"):
        floor_rows(spec_of(text(folder)), order=0)
    with pytest.raises(HmlcoreError, match="rows have at most 25 tokens, fewer than order = 26"):
        floor_rows(spec_of(text(folder)), order=26)
    other = scored([text(folder, tokenizer="bpe", vocab=270)], "validation", 4)
    with pytest.raises(HmlcoreError, match=r"vocabularies of \[256, 270\] tokens; a floor counts one"):
        floor_rows(spec_of(text(folder), evaluate=other))


def test_a_spec_is_left_as_it_is(folder):
    spec = spec_of(text(folder))
    before = canonical(spec)
    floor_rows(spec)
    assert canonical(spec) == before
