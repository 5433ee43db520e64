"""Needles in text: every answer is found by a plain search, and every needle lies where it should."""

import re
from itertools import chain

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, SPLITS, build_task
from hmlcore.tasks.corpora import NAMES
from hmlcore.tasks.needle import RULER
from hmlcore.tasks.needle_text import FORMS, KEYS, boundary
from hmlcore.tasks.needle_words import NOISE

NEEDLE = re.compile(r"One of the special magic (?:number|uuid)s for (\S+) is: (\S+)\. ")
ASKED = re.compile(r"What (?:is|are all) the special magic (?:number|uuid)s? for (\S+) mentioned in the text")
OWN_HAYSTACK = ("single_1", "multikey_2", "multikey_3")


@pytest.fixture
def folder(tmp_path):
    """Twenty files of sentences; each says in every sentence which file it is."""
    root = tmp_path / "texts"
    root.mkdir()
    for i in range(20):
        (root / f"{i:02d}.txt").write_text(
            "".join(f"File {i:02d} says\n{j} “naïve” words. " for j in range(150))
        )
    return root


def examples(task, split="test", count=12):
    """Each example as (text before the first question, the questions, what is scored)."""
    for row, wanted in zip(*task.batch(split, 0, count, 3), strict=True):
        text = bytes(row.tolist())
        assert len(text) == task.length
        scored = wanted != IGNORE
        assert (wanted[:-1][scored[:-1]] == row[1:][scored[:-1]]).all(), "a target is the next byte"
        text = (text + bytes(wanted[-1:].tolist())).decode(errors="replace")
        start = ASKED.search(text).start()
        yield text[:start], text[start:], bytes(wanted[scored].tolist()).decode()


def test_the_kinds_are_rulers():
    assert tuple(FORMS) == tuple(RULER)


@pytest.mark.parametrize("depth", [None, 0, 0.4, 1])
@pytest.mark.parametrize("corpus", ["filler", "folder"])
@pytest.mark.parametrize("kind", RULER)
def test_every_question_is_answered_by_a_plain_search(kind, corpus, depth, folder):
    if corpus == "folder":
        if kind in OWN_HAYSTACK:
            return
        corpus = str(folder)
    task = build_task("needle_text", kind=kind, corpus=corpus, length=1200, depth=depth)
    answered = set()
    for hay, questions, scored in examples(task):
        found = NEEDLE.findall(hay)
        keys = ASKED.findall(questions)
        answers = [[value for key, value in found if key == asked] for asked in keys]
        assert len(keys) == len(set(keys)) == task.form.queries
        assert [len(values) for values in answers] == [task.form.values] * len(keys)
        assert scored == "".join(value for values in answers for value in values)
        said = re.split(r"It is |They are |, (?=\d)|\. (?=What)", questions)
        assert [part for part in said if part and not part.startswith("What")] == list(chain(*answers))
        pattern = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" if task.form.sort == "uuid" else r"[1-9]\d{6}"
        assert all(re.fullmatch(pattern, value) for _, value in found)
        own = task.form.needles * task.form.values
        others = len(found) - own
        assert others >= 2 if task.form.haystack == "needles" else others == 0
        rest = NEEDLE.sub("", hay)
        assert not any(key in rest for key, _ in found)
        if depth == 0:
            assert NEEDLE.match(hay)[1] == keys[0]
        if depth == 1:
            assert hay.endswith(f"{keys[0]} is: {answers[0][-1]}. ")
        answered.add(scored)
    assert len(answered) == 12


def test_by_hand():
    first = next(examples(build_task("needle_text", length=400, digits=1)))
    key, value = NEEDLE.search(first[0]).groups()
    needle = f"One of the special magic numbers for {key} is: {value}. "
    question = f"What is the special magic number for {key} mentioned in the text? It is {value}"
    # The draws do not depend on length; this one leaves exactly 100 bytes to the haystack: the noise with
    # sentences that end at 20, 37, 56, 68 and 90, ten bytes of its second round, and the last a space.
    length = len(needle) + len(question) + 100 - 1
    hay = (NOISE + NOISE)[:99] + " "
    # 37 is within five of 38; 56 is further from 50 than that, so a word is split off: "The sun |is yellow."
    for depth, at in ((0, 0), (0.38, 37), (0.5, 48), (0.7, 68), (1, 100)):
        task = build_task("needle_text", length=length, digits=1, depth=depth)
        before, asked, scored = next(examples(task, count=1))
        assert before == hay[:at] + needle + hay[at:]
        assert (asked, scored) == (question, value)


def test_boundary_by_hand():
    text = b'He left. "Why?" she said at last, quietly and slowly, to no one at all, and then again to no one. '
    assert [boundary(text, at) for at in (0, 8, 12, 13, 17)] == [0, 9, 9, 16, 16]
    assert text[:16] == b'He left. "Why?" '
    assert boundary(text, 23) == 25 and text[20:25] == b"said "  # 16 is further than a twentieth
    assert boundary(text, 23, 1.0) == 16
    assert boundary(text, len(text)) == len(text)
    assert boundary(b"", 0) == 0 and boundary(b"unbroken", 3) == 0 and boundary(b"unbroken", 5) == 8
    places = [boundary(text, at) for at in np.linspace(0, len(text), 500)]
    assert places == sorted(places)


def test_depth_places_the_needle_along_the_text(folder):
    for depth in (0.1, 0.3, 0.5, 0.9):
        for corpus in ("filler", str(folder)):
            task = build_task("needle_text", kind="single_2", corpus=corpus, length=2000, depth=depth)
            for hay, _, _ in examples(task):
                needle = NEEDLE.search(hay)
                size = len(hay.encode()) - len(needle[0])
                assert abs(len(hay[: needle.start()].encode()) - depth * size) <= size / 20


def test_without_a_depth_needles_lie_everywhere():
    task = build_task("needle_text", length=2000)
    places = [NEEDLE.search(hay).start() / len(hay) for hay, _, _ in examples(task, "train", 400)]
    counts = np.histogram(places, bins=4, range=(0, 0.965))[0]
    assert abs(counts - 100).max() < 5 * np.sqrt(75)


@pytest.mark.parametrize("split", SPLITS)
def test_the_haystack_is_of_the_split(split, folder):
    task = build_task("needle_text", kind="single_2", corpus=str(folder), length=900)
    text = build_task("bytes", corpus=str(folder), length=900).documents(split)
    contents = [text.content(i).decode() for i in range(len(text))]
    for hay, _, _ in examples(task, split):
        before, _, _, after = NEEDLE.split(hay)
        whole = (before + after[:-1]).strip("\N{REPLACEMENT CHARACTER}")  # letters cut at either end
        assert sum(whole in content for content in contents) == 1


def test_keys_are_told_apart_and_are_no_part_of_each_other():
    assert len(KEYS) == len(set(KEYS)) == 1600
    assert not any(key in NOISE for key in KEYS)
    adjectives, nouns = ({key.split("-")[i] for key in KEYS} for i in (0, 1))
    assert len(adjectives) == len(nouns) == 40
    assert not any(a != b and a.endswith(b) for a in adjectives for b in adjectives)
    assert not any(a != b and a.startswith(b) for a in nouns for b in nouns)


def test_a_key_that_the_text_has_is_not_used(tmp_path):
    kept = set(KEYS[700:710])
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"{i} " + " ".join(key for key in KEYS if key not in kept) + " .")
    length = (tmp_path / "0.txt").stat().st_size - 1
    task = build_task("needle_text", kind="multikey_1", corpus=str(tmp_path), length=length)
    for hay, _, _ in examples(task, count=4):
        found = {key for key, _ in NEEDLE.findall(hay)}
        # A key that the window cuts at either end does not occur in it.
        assert len(found) == 4 and found <= kept | {KEYS[0], KEYS[-1]}


def test_conditions_and_provenance(folder):
    task = build_task("needle_text", kind="single_2", corpus=str(folder), length=500, depth=0.5)
    assert task.conditions() == {
        "length": 500, "depth": 0.5, "kind": "single_2", "digits": 7, "corpus": "folder:texts"
    }  # fmt: skip
    assert task.provenance() == build_task("bytes", corpus=str(folder)).provenance()
    filler = build_task("needle_text")
    assert filler.conditions()["corpus"] == "filler" and filler.provenance() == {}
    assert len({str(build_task("needle_text", kind=kind).conditions()) for kind in RULER}) == 8


def test_missing_data_is_the_error_of_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path))
    task = build_task("needle_text", kind="single_2", corpus="pg19")
    with pytest.raises(HmlcoreError, match=r"lacks pg19/train-\*\.jsonl\.gz, .* Either set HMLCORE_DATA"):
        task.batch("test", 0, 1, 0)


def test_a_length_that_no_document_holds(folder):
    task = build_task("needle_text", kind="single_2", corpus=str(folder), length=50_000)
    with pytest.raises(HmlcoreError, match="length=50000 needs a document of at least 50001 bytes"):
        task.batch("train", 0, 1, 0)


@pytest.mark.parametrize("kind", RULER)
def test_the_least_length_works_and_one_less_is_refused(kind):
    with pytest.raises(HmlcoreError) as error:
        build_task("needle_text", kind=kind, length=1)
    least = int(re.search(r"at least (\d+) bytes, not 1$", str(error.value))[1])
    task = build_task("needle_text", kind=kind, length=least)
    own = task.form.needles * task.form.values + (kind in OWN_HAYSTACK[1:])
    for hay, _, _ in examples(task, "train", 60):
        assert len(NEEDLE.findall(hay)) == own
    with pytest.raises(HmlcoreError, match=f"kind='{kind}': at least {least} bytes, not {least - 1}"):
        build_task("needle_text", kind=kind, length=least - 1)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"kind": "single"}, f"unknown kind 'single'; known: {', '.join(sorted(RULER))}"),
        ({"corpus": "pg20"}, f"unknown corpus 'pg20'; known: {', '.join(sorted([*NAMES, 'filler']))}"),
        ({"corpus": 3}, "corpus must be a text, got 3"),
        (
            {"corpus": "stdlib", "kind": "multikey_2"},
            "corpus must be 'filler' with kind='multikey_2', which has its own haystack, not 'stdlib'",
        ),
        ({"books": 2}, "books=2 applies to corpus 'pg19' only, not to 'filler'"),
        ({"corpus": "pg19", "kind": "single_2", "books": 0}, "books must be at least 1, got 0"),
        ({"depth": -0.1}, "depth must be between 0 and 1, got -0.1"),
        ({"depth": "end"}, "depth must be between 0 and 1, got 'end'"),
        ({"digits": 0}, "digits must be at least 1, got 0"),
        ({"length": 2.5}, "length must be an integer of at least 1, got 2.5"),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(HmlcoreError) as error:
        build_task("needle_text", **knobs)
    assert str(error.value) == message
