"""IMDB: bytes of reviews, labels, splits that share no text, and one clear error where it is not here."""

import gzip
import json
import pickle

import datasets
import httpx
import huggingface_hub
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import build_task, hub
from hmlcore.tasks import imdb as module


def review(number, label):
    return f"{'wonderful' if label else 'dreadful'} film no. {number}, {'é' * (number % 3)}" + " and so on" * (
        number % 5
    )


def write(folder, split, reviews):
    folder.mkdir(exist_ok=True)
    lines = [
        json.dumps({"id": str(i), "text": text, "label": label}) for i, (text, label) in enumerate(reviews)
    ]
    (folder / f"{split}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


TRAIN = [(review(i, i >= 30), int(i >= 30)) for i in range(60)]
TEST = [(review(100 + i, i >= 20), int(i >= 20)) for i in range(40)]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Official splits, sorted by label; some training reviews occur several times, one in the test set."""
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path))
    again = TRAIN[:6] + TRAIN[:2] * 3
    write(tmp_path / "imdb", "train", [*TRAIN, *again, TEST[0]])
    write(tmp_path / "imdb", "test", TEST)
    return tmp_path / "imdb"


def imdb(**knobs):
    return build_task("imdb", **{"held_out": 12, "max_length": 200, **knobs})


def read(task, split, count):
    """(text, label) of the first `count` examples."""
    batch = task.batch(split, 0, count, 0)
    return [(bytes(row[:n].tolist()).decode(), int(label)) for row, n, label in zip(*batch, strict=True)]


def test_examples_are_the_reviews_with_their_labels(data):
    task = imdb()
    assert (task.vocab_size, task.classes, task.length) == (256, 2, 200)
    assert sorted(read(task, "test", 40)) == sorted(TEST)
    held = read(task, "validation", 12)
    assert set(held) < set(TRAIN)
    train = read(task, "train", len(task._splits["train"].texts))
    assert set(train) | set(held) == set(TRAIN)


@pytest.mark.parametrize("held_out", [1, 5, 12, 30])
def test_no_text_is_in_two_splits(data, held_out):
    """Copies go to one side together, and what is tested is not trained on, whatever the cut."""
    parts = imdb(held_out=held_out)._splits
    texts = {split: set(reviews.texts) for split, reviews in parts.items()}
    assert not texts["train"] & texts["validation"]
    assert not (texts["train"] | texts["validation"]) & texts["test"]
    assert held_out <= len(parts["validation"].texts) <= held_out + 4
    assert len(parts["train"].texts) + len(parts["validation"].texts) == 60 + 12


def test_labels_are_mixed_although_they_come_sorted(data):
    task = imdb()
    for split in ("train", "validation", "test"):
        labels = task.batch(split, 0, 12, 0).labels
        assert 2 <= labels.sum() <= 10, split


def test_a_review_is_cut_at_its_end_and_padded(data):
    whole, cut = imdb(), imdb(max_length=25)
    for (text, label), (start, same) in zip(read(whole, "test", 40), [
        (bytes(row[:n].tolist()), int(y)) for row, n, y in zip(*cut.batch("test", 0, 40, 0), strict=True)
    ], strict=True):  # fmt: skip
        assert start == text.encode()[:25] and label == same
    batch = whole.batch("test", 0, 40, 0)
    assert batch.inputs.shape == (40, 200) and batch.lengths.max() < 200
    for row, length in zip(batch.inputs, batch.lengths, strict=True):
        assert not row[length:].any()


def test_training_visits_every_review_once_an_epoch_in_a_new_order(data):
    task = imdb()
    count = len(task._splits["train"].texts)
    epochs = []
    for epoch in range(2):
        rows = [task.batch("train", epoch * count + i, 1, 3) for i in range(count)]
        epochs.append([bytes(b.inputs[0, : b.lengths[0]].tolist()) for b in rows])
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(task._splits["train"].texts)
    assert epochs[0] != epochs[1]
    assert not torch.equal(
        task.batch("train", 0, 8, 3).labels, task.batch("train", 0, 8, 4).labels
    ) or not torch.equal(task.batch("train", 0, 8, 3).inputs, task.batch("train", 0, 8, 4).inputs)


def test_fewer_training_examples_leave_the_others_as_they_are(data):
    few, all_ = imdb(training_examples=10), imdb()
    assert few._splits["train"].texts == all_._splits["train"].texts[:10]
    assert read(few, "validation", 12) == read(all_, "validation", 12)
    assert read(few, "test", 40) == read(all_, "test", 40)


def test_a_copy_in_another_process_reads_the_same(data):
    task = imdb()
    again = pickle.loads(pickle.dumps(task))
    assert all(
        torch.equal(a, b)
        for a, b in zip(task.batch("train", 2, 4, 1), again.batch("train", 2, 4, 1), strict=True)
    )


def test_provenance_fixes_the_text_to_the_byte(data, tmp_path):
    before = imdb().provenance()
    assert before["corpus"] == "imdb" and len(before["data_sha256"]) == 64 and str(tmp_path) not in str(before)
    write(data, "test", [*TEST[:-1], ("another end", 1)])
    after = imdb().provenance()
    assert after["data_sha256"] != before["data_sha256"]


def test_the_hub_gives_the_same_reviews(data, monkeypatch):
    wanted = imdb().batch("train", 0, 16, 0)
    monkeypatch.delenv("HMLCORE_DATA")
    asked = []

    def load_dataset(repository, split, revision):
        asked.append((repository, split, revision))
        with gzip.open(data / f"{split}.jsonl.gz", "rt") as lines:
            return datasets.Dataset.from_list([json.loads(line) for line in lines])

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr(hub, "require_hub", lambda: None)
    module._from_hub.cache_clear()
    found = imdb().batch("train", 0, 16, 0)
    module._from_hub.cache_clear()
    assert asked == [("stanfordnlp/imdb", split, module.REVISION) for split in ("train", "test")]
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


def in_the_cache(folder, rows, revision):
    """What `datasets` leaves behind when it has loaded the reviews from the hub once."""

    class Parquet(datasets.GeneratorBasedBuilder):
        BUILDER_CONFIGS = (datasets.BuilderConfig("plain_text"),)

        def _info(self):
            return datasets.DatasetInfo(
                features=datasets.Features({"text": datasets.Value("string"), "label": datasets.Value("int64")})
            )

        def _split_generators(self, manager):
            return [datasets.SplitGenerator(name, {"reviews": reviews}) for name, reviews in rows.items()]

        def _generate_examples(self, reviews):
            yield from ((i, {"text": text, "label": label}) for i, (text, label) in enumerate(reviews))

    named = {"repo_id": module.REPOSITORY, "dataset_name": "imdb", "config_name": "plain_text"}
    Parquet(cache_dir=str(folder), hash=revision, **named).download_and_prepare()
    assert (folder / "stanfordnlp___imdb" / "plain_text" / "0.0.0" / revision / "imdb-train.arrow").exists()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """The library's cache is in `tmp_path`, and who asks the network has failed."""
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    asked = []
    monkeypatch.setattr(httpx.Client, "send", lambda *_, **__: asked.append("httpx") or pytest.fail("asked"))
    module._from_hub.cache_clear()
    yield tmp_path / "hub"
    module._from_hub.cache_clear()
    assert asked == []


AWAY = [("HF_HUB_OFFLINE", "1"), ("HF_DATASETS_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "yes"),
        ("HF_ENDPOINT", "http://127.0.0.1:9")]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), AWAY)
def test_reviews_in_the_cache_need_no_hub(no_network, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    in_the_cache(no_network, {"train": TRAIN, "test": TEST}, module.REVISION)
    task = imdb()
    assert sorted(read(task, "test", 40)) == sorted(TEST)
    assert task.provenance()["data_version"] == f"stanfordnlp/imdb@{module.REVISION}"


@pytest.mark.parametrize(("name", "value"), AWAY)
def test_reviews_that_are_not_in_the_cache_either_are_one_line(no_network, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    why = r"HMLCORE_DATA is not set, and downloading stanfordnlp/imdb failed \("
    why += "URLError" if name == "HF_ENDPOINT" else f"ConnectionError: {name} is set"
    for _ in range(2):
        with pytest.raises(HmlcoreError, match=rf"^the reviews of IMDB are not here: {why}") as error:
            imdb().provenance()
        assert "\n" not in str(error.value) and "Either set HMLCORE_DATA" in str(error.value)


def test_reviews_of_another_revision_are_not_taken_for_ours(no_network, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    in_the_cache(no_network, {"train": TRAIN, "test": TEST}, "0" * 40)
    with pytest.raises(HmlcoreError, match=rf"is of revision 0{{40}}, and {module.REVISION} is needed"):
        imdb().provenance()


def test_a_damaged_copy_in_the_cache_is_one_line(no_network, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    in_the_cache(no_network, {"train": TRAIN, "test": TEST}, module.REVISION)
    for file in no_network.rglob("*.arrow"):
        file.write_bytes(b"nothing")
    with pytest.raises(
        HmlcoreError, match=r"HF_HUB_OFFLINE is set; from the cache, \w+: .*Either set"
    ) as error:
        imdb().provenance()
    assert "\n" not in str(error.value)


def test_offline_ends_with_what_was_read(no_network, monkeypatch):
    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HmlcoreError):
        imdb().provenance()
    assert before == (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_or_damaged_file_is_named(data, split):
    file = data / f"{split}.jsonl.gz"
    whole = file.read_bytes()
    for content, said in (
        (whole[:-15], "is damaged"),
        (
            gzip.compress(b'{"text": "a", "label": 2}'),
            'damaged at line 1: it has no "text", or its "label" is neither',
        ),
        (gzip.compress(b'{"text": "", "label": 1}'), "is damaged at line 1"),
        (gzip.compress(b"[1]"), "is damaged at line 1"),
        (gzip.compress(b""), "holds no review"),
    ):
        file.write_bytes(content)
        with pytest.raises(HmlcoreError, match=said):
            imdb().batch("test", 0, 1, 0)
    file.unlink()
    with pytest.raises(HmlcoreError, match=rf"lacks imdb/{split}\.jsonl\.gz\. Either set HMLCORE_DATA"):
        imdb().batch("test", 0, 1, 0)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"held_out": 0}, "held_out must be at least 1, got 0"),
        ({"training_examples": -1}, "training_examples must be at least 1, got -1"),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(HmlcoreError, match=f"^{message}"):
        imdb(**knobs)


def test_refusals_of_what_the_data_does_not_have(data):
    with pytest.raises(HmlcoreError, match="held_out=72 leaves nothing to train on: there are 72 reviews"):
        imdb(held_out=72).provenance()
    with pytest.raises(HmlcoreError, match="training_examples=61, but 59 reviews are left to train"):
        imdb(training_examples=61, held_out=12).provenance()
    with pytest.raises(HmlcoreError, match="test has 40 examples; batch 1 of 40 ends at 80"):
        imdb().batch("test", 1, 40, 0)


def test_made_up_reviews_need_no_data(monkeypatch):
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    task = imdb(corpus="made_up", max_length=600)
    liked = {"lovely", "moving", "witty", "tender", "gripping", "clever"}
    for text, label in read(task, "test", 300) + read(task, "validation", 12):
        opinions = [sentence.split()[-1] in liked for sentence in text.split(".")[:-1]]
        assert (2 * sum(opinions) > len(opinions)) == label and 2 * sum(opinions) != len(opinions)
    assert task.provenance()["data_version"] == "made-up-reviews-1"
    with pytest.raises(HmlcoreError, match="unknown corpus 'yelp'; known: imdb, made_up"):
        imdb(corpus="yelp")
