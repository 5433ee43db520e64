"""Papers, code and word problems: which rows fall to which split, what is asked of the hub, and stand-ins."""

import re

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import SPLITS, build_task
from hmlcore.tasks.corpora import open_corpus
from hmlcore.tasks.hub_texts import DOCUMENTS, TEXTS, chosen, open_text

ROWS = {
    "arxiv": lambda n: {"article": f"paper {n}", "abstract": "no"},
    "code": lambda n: {"content": f"x = {n}"},
    "gsm8k": lambda n: {"question": f"what {n}", "answer": f"#### {n}"},
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that is there, and what it is asked."""
    import datasets

    asked = []

    def load(repository, config, *, split, revision, streaming):
        (name,) = [name for name, text in TEXTS.items() if text.repository == repository]
        asked.append((name, config, split, revision, streaming))
        start = SPLITS.index(split) * 100_000
        return (ROWS[name](start + n) for n in range(3000))

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("hmlcore.tasks.hub.require_hub", lambda: None)
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path))
    return asked


@pytest.mark.parametrize("name", TEXTS)
def test_splits_share_nothing_and_come_at_the_pinned_revision(hub, name):
    corpus, text = open_corpus(name), TEXTS[name]
    found = {split: corpus.split(split) for split in SPLITS}
    for split, documents in found.items():
        assert len(documents) == DOCUMENTS[split]
    contents = [set(documents.digests) for documents in found.values()]
    assert sum(map(len, contents)) == len(set.union(*contents))
    assert {(config, revision) for _, config, _, revision, _ in hub} == {(text.config, text.revision)}
    assert [split for _, _, split, _, _ in hub] == [s if s in text.splits else "train" for s in SPLITS]
    assert re.fullmatch("[0-9a-f]{40}", text.revision) and text.revision in corpus.version
    first = found["train"].content(0).decode()
    assert first == {"arxiv": "paper 0", "code": "x = 2", "gsm8k": "what 0\n#### 0"}[name]
    before = len(hub)
    open_corpus(name).split("train")  # it was kept
    assert len(hub) == before


def test_rows_fall_to_the_splits_that_the_source_lacks():
    numbered = [(n, ROWS["code"](n)) for n in range(20)]
    got = {split: [name for name, _ in chosen(iter(numbered), split, TEXTS["code"])] for split in SPLITS}
    assert got["test"] == ["0", "10"] and got["validation"] == ["1", "11"] and len(got["train"]) == 16
    numbered = [(n, ROWS["gsm8k"](n)) for n in range(20)]
    sums = {split: [name for name, _ in chosen(iter(numbered), split, TEXTS["gsm8k"])] for split in SPLITS}
    assert len(sums["test"]) == 20 and sums["validation"] == ["1", "11"] and len(sums["train"]) == 18


@pytest.mark.parametrize("name", TEXTS)
def test_a_stand_in_needs_nothing_and_can_be_learned_from(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    corpus = open_corpus(f"standin:{name}")
    found = [set(corpus.split(split).digests) for split in SPLITS]
    assert all(found) and not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    task = build_task("bytes", corpus=f"standin:{name}", length=64)
    assert task.batch("train", 0, 2, 0).inputs.shape == (2, 64)
    if name == "gsm8k":
        text = corpus.split("test").content(0).decode()
        a, b, c = map(int, re.search(r"has (\d+) .* gets (\d+) bags of (\d+)", text).groups())
        assert text.endswith(f"#### {a + b * c}")


def test_without_a_hub_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path))
    with pytest.raises(HmlcoreError, match=r"corpus 'gsm8k' is not here: .* use the corpus 'standin:gsm8k'"):
        open_corpus("gsm8k").split("train")
    with pytest.raises(HmlcoreError, match="unknown corpus of the hub 'moon'; known: arxiv, code, gsm8k"):
        open_text("moon")
    with pytest.raises(HmlcoreError, match="unknown stand-in 'moon'; known: arxiv, code, gsm8k"):
        open_text("standin:moon")
    with pytest.raises(HmlcoreError, match="books=3 applies to corpus 'pg19' only, not to 'arxiv'"):
        build_task("bytes", corpus="arxiv", books=3)
