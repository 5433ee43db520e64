"""ListOps: the generator against a plain one, its answers against an independent evaluator, the cache."""

import itertools
import pickle
import random
import statistics
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import listops, listops_trees
from hmlcore.tasks.labelled import Labelled, LabelledTask
from hmlcore.tasks.listops import ListOps

WORDS = [None, *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]"]
OPERATIONS = ("[MIN", "[MAX", "[MED", "[SM")
SMALL = {"max_length": 60, "training_examples": 300, "held_out": 64}
DIGEST = "ece53db9ea02f13dc9cc05b00ee054653102c45f41c91e522332445fcab61bbb"
FIRST = "[MED 9 3 [MAX [MIN 4 6 8 7 7 4 0 1 0 3 ] 7 7 [SM 5 3 5 9 [MAX 0 7 4 9 ] 4 7 ] 7 5 ] 8 ]"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def task():
    return ListOps(**SMALL)


def everything(task):
    """(words, label) of all examples of all splits."""
    rows = []
    sizes = {"test": task.held_out, "validation": task.held_out, "train": task.training_examples}
    for split, count in sizes.items():
        batch = task.batch(split, 0, count, 0)
        for tokens, length, label in zip(*(x.tolist() for x in batch), strict=True):
            assert set(tokens[length:]) <= {0}
            rows.append((tuple(WORDS[t] for t in tokens[:length]), label))
    return rows


def value_of(words):
    """Reads the words as Python would be written: every list becomes a call."""
    calls = {
        "[MIN": "min", "[MAX": "max", "[MED": "middle", "[SM": "total", "]": "])",
    }  # fmt: skip
    source = " ".join(calls[w] + "([" if w[0] == "[" else calls.get(w, w) + "," for w in words)
    functions = {
        "min": min, "max": max,
        "middle": lambda v: int(statistics.median(v)), "total": lambda v: sum(v) % 10,
    }  # fmt: skip
    (value,) = eval(source, {"__builtins__": {}}, functions)
    return value


def plain_tree(rng, depth, max_depth, max_args):
    """The published law, one node at a time."""
    if depth == max_depth or rng.random() > 0.25:
        return [str(rng.randrange(10))]
    children = [plain_tree(rng, depth + 1, max_depth, max_args) for _ in range(rng.randint(2, max_args))]
    return [rng.choice(WORDS[11:15]), *(w for child in children for w in child), "]"]


def nesting(words):
    deep = high = 0
    for w in words:
        deep += (w[0] == "[") - (w == "]")
        high = max(high, deep)
    return high


def test_the_published_example():
    def evaluated(text):
        return value_of(text.split())

    assert evaluated("[MAX 2 9 [MIN 4 7 ] 0 ]") == 9
    assert evaluated("[MED 1 2 ]") == 1 and evaluated("[MED 4 7 8 2 ]") == 5


def test_every_answer_is_the_value_of_its_expression(task):
    rows = everything(task)
    assert len(rows) == 428
    assert all(value_of(words) == label for words, label in rows)
    assert {label for _, label in rows} == set(range(10))


def test_answers_of_long_and_deep_expressions():
    rng, checked = np.random.default_rng(1), 0
    for depth, most, low, high in ((10, 10, 500, 2000), (4, 3, 3, 50), (2, 10, 3, 13), (30, 2, 20, 300)):
        tokens, offsets, values = listops_trees.random_expressions(rng, 300, depth, most, low, high)
        assert offsets[-1] == len(tokens)
        for (a, b), value in zip(itertools.pairwise(offsets), values, strict=True):
            words = [WORDS[t] for t in tokens[a:b]]
            assert low < len(words) < high and nesting(words) < depth
            assert value_of(words) == value
            checked += 1
    assert checked > 150


def test_lengths_are_strictly_inside_and_expressions_distinct(task):
    rows = everything(task)
    lengths = {len(words) for words, _ in rows}
    assert min(lengths) == 16 and max(lengths) == 59  # 15 < length < 60
    assert len({words for words, _ in rows}) == len(rows)
    narrow = ListOps(max_length=8, min_length=5, training_examples=200, held_out=20)
    assert {len(words) for words, _ in everything(narrow)} == {6, 7}


def test_the_law_is_the_published_one():
    """Against the plain generator: lengths, share of accepted, kinds, arguments, depth, answers."""
    rng, plain = random.Random(3), []
    drawn = 0
    while len(plain) < 1500:
        words = plain_tree(rng, 1, 6, 5)
        drawn += words[0][0] == "["
        if 10 < len(words) < 80:
            plain.append(words)
    tokens, offsets, _ = listops_trees.random_expressions(np.random.default_rng(4), 4000, 6, 5, 10, 80)
    ours = [[WORDS[t] for t in tokens[a:b]] for a, b in itertools.pairwise(offsets)]
    assert abs(len(ours) / 4000 - 1500 / drawn) < 0.03

    def summary(expressions):
        words = [w for e in expressions for w in e]
        share = [words.count(w) / len(words) for w in WORDS[1:]]
        lengths = [len(e) for e in expressions]
        depths = [nesting(e) for e in expressions]
        answers = np.bincount([value_of(e) for e in expressions], minlength=10) / len(expressions)
        return share, answers, np.quantile(lengths, [0.1, 0.5, 0.9]), np.mean(depths)

    for found, wanted, tolerance in zip(summary(ours), summary(plain), (0.006, 0.03, 4, 0.12), strict=True):
        assert np.abs(np.subtract(found, wanted)).max() < tolerance


def test_the_shape_of_a_batch(task):
    assert isinstance(task, LabelledTask)
    batch = task.batch("train", 1, 7, 3)
    assert batch.inputs.shape == (7, 60) == (7, task.length) and batch.inputs.dtype == torch.int64
    assert batch.lengths.shape == batch.labels.shape == (7,)
    assert batch.labels.dtype == batch.lengths.dtype == torch.int64
    assert batch.inputs.max() < task.vocab_size == 16 and task.classes == 10
    assert (batch.inputs > 0).sum(1).equal(batch.lengths)
    short = batch.trimmed()
    assert short.inputs.shape[1] == batch.lengths.max() < 60
    assert torch.equal(short.inputs, batch.inputs[:, : short.inputs.shape[1]]) and short.labels is batch.labels


def test_an_epoch_visits_every_example_once_in_an_order_of_its_own(task):
    def visited(first, seed):
        batches = [task.batch("train", i, 30, seed).inputs for i in range(first, first + 10)]
        return [row.tobytes() for row in torch.cat(batches).numpy()]

    one, two, other = visited(0, 0), visited(10, 0), visited(0, 1)
    assert len(set(one)) == 300 and set(one) == set(two) == set(other)
    assert one != two and one != other and one == visited(0, 0)
    across = task.batch("train", 1, 200, 0).inputs.numpy()  # its last hundred begin the second epoch
    assert [row.tobytes() for row in across] == one[200:] + two[:100]


def test_held_out_sets_are_fixed_and_end(task):
    whole = task.batch("test", 0, 64, 0)
    parts = [task.batch("test", i, 16, 9) for i in range(4)]
    assert all(torch.equal(torch.cat(x), y) for x, y in zip(zip(*parts, strict=True), whole, strict=True))
    assert not torch.equal(task.batch("validation", 0, 64, 0).inputs, whole.inputs)
    with pytest.raises(HmlcoreError, match="test has 64 examples; batch 3 of 20 ends at 80"):
        task.batch("test", 3, 20, 0)
    with pytest.raises(HmlcoreError, match="unknown split 'dev'"):
        task.batch("dev", 0, 1, 0)


def test_held_out_sets_do_not_depend_on_the_training_set(task):
    fewer = ListOps(**SMALL | {"training_examples": 50})
    for split in ("validation", "test"):
        assert torch.equal(task.batch(split, 0, 64, 0).inputs, fewer.batch(split, 0, 64, 0).inputs)
    assert not torch.equal(
        ListOps(**SMALL | {"data_seed": 1}).batch("test", 0, 64, 0).inputs, task.batch("test", 0, 64, 0).inputs
    )


def test_the_data_are_these_and_no_others(task):
    """Changes when the generator, or the random numbers under it, change: then raise its version."""
    assert task.provenance() == {"data_version": "listops-1", "data_sha256": DIGEST}
    assert " ".join(everything(task)[0][0]) == FIRST


def test_generated_once_and_kept(task, own_cache, monkeypatch):
    wanted = task.batch("train", 0, 8, 0)
    (file,) = (own_cache / "listops").iterdir()
    assert pq.read_table(pa.BufferReader(file.read_bytes()[:-32])).num_rows == 428
    monkeypatch.setattr(listops, "_generate", lambda task: pytest.fail("generated again"))
    again = ListOps(**SMALL, min_length=15)  # the default said in words
    assert all(torch.equal(a, b) for a, b in zip(again.batch("train", 0, 8, 0), wanted, strict=True))
    assert again.provenance() == task.provenance()
    copy = pickle.loads(pickle.dumps(task))
    assert copy == task and len(pickle.dumps(task)) < 1000
    assert torch.equal(copy.batch("train", 0, 8, 0).inputs, wanted.inputs)


@pytest.mark.parametrize("damage", ["cut", "altered", "foreign", "of other settings"])
def test_a_damaged_cache_is_made_anew(task, own_cache, damage, capsys):
    wanted = task.batch("test", 0, 8, 0)
    (file,) = (own_cache / "listops").iterdir()
    whole = file.read_bytes()
    if damage == "cut":
        file.write_bytes(whole[:-40])
    elif damage == "foreign":
        file.write_text("not parquet")
    elif damage == "altered":
        table = pq.read_table(pa.BufferReader(whole[:-32]))
        values = table["value"].to_numpy().copy()
        values[0] = (values[0] + 1) % 10
        at = table.schema.get_field_index("value")
        pq.write_table(table.set_column(at, table.schema.field("value"), [values]), file)
    else:
        ListOps(**SMALL | {"data_seed": 1}).batch("test", 0, 8, 0)
        (other,) = set((own_cache / "listops").iterdir()) - {file}
        file.write_bytes(other.read_bytes())
    found = ListOps(**SMALL).batch("test", 0, 8, 0)
    assert capsys.readouterr().err == f"hml: {file} is damaged (its hash is another); it is made again\n"
    assert isinstance(found, Labelled)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_length": 4}, "max_length must be at least 5, got 4"),
        ({"max_depth": 1}, "max_depth must be at least 2, got 1"),
        ({"max_args": 1}, "max_args must be at least 2, got 1"),
        ({"held_out": 0}, "held_out must be at least 1, got 0"),
        ({"min_length": 0}, "min_length must be at least 1, got 0"),
        ({"min_length": 1999}, "min_length=1999 leaves no length below max_length=2000"),
        ({"max_depth": 2, "max_args": 3}, "min_length=500 leaves no .* up to 5, the longest of max_depth=2"),
    ],
)
def test_impossible_knobs_are_refused(knobs, message):
    with pytest.raises(HmlcoreError, match=message):
        ListOps(**knobs)


def test_too_few_distinct_expressions_are_reported():
    """Four operators on two digits each: 400."""
    task = ListOps(max_length=5, min_length=3, max_depth=2, max_args=2, training_examples=391, held_out=5)
    with pytest.raises(HmlcoreError, match=r"found only 400 distinct expressions .* held_out=5 need 401"):
        task.batch("test", 0, 1, 0)
    task = ListOps(max_length=5, min_length=3, max_depth=2, max_args=2, training_examples=390, held_out=5)
    assert len({words for words, _ in everything(task)}) == 400


def test_balanced_expressions_have_each_operator_with_each_value_equally_often():
    """Exactly, in each split; lengths and depth keep to their limits."""
    small = {"max_length": 64, "min_length": 8, "max_depth": 3, "max_args": 5}
    task = ListOps(**small, balanced=True, training_examples=400, held_out=40)
    rows = everything(task)
    assert len(set(rows)) == len(rows)
    pairs = set(itertools.product(OPERATIONS, range(10)))
    for dealt, times in ((rows[:40], 1), (rows[40:80], 1), (rows[80:], 10)):
        found = Counter((words[0], label) for words, label in dealt)
        assert set(found) == pairs and set(found.values()) == {times}
    for words, label in rows:
        assert value_of(words) == label and 8 < len(words) < 64
        opened = np.cumsum([(w[0] == "[") - (w == "]") for w in words])
        assert max(opened) <= 2  # the third level is of digits
    share = Counter(label for words, label in everything(ListOps(**small, held_out=40, training_examples=400))
                    if words[0] == "[MIN")  # fmt: skip
    assert max(share.values()) > 0.25 * sum(share.values())


def test_what_the_outermost_operator_alone_is_worth():
    """As the task states it: with the commonest value of each in training, on the test set."""
    small = {"max_length": 64, "max_depth": 3, "training_examples": 1200, "held_out": 1000}
    for balanced, share, of_each in ((False, 0.38, (0.59, 0.59, 0.22, 0.11)), (True, 0.1, (0.1,) * 4)):
        rows = everything(ListOps(**small, balanced=balanced))
        values = {
            name: Counter(label for words, label in rows[2000:] if words[0] == name) for name in OPERATIONS
        }
        said = {name: counted.most_common(1)[0][0] for name, counted in values.items()}
        right = np.mean([said[words[0]] == label for words, label in rows[:1000]])
        assert right == pytest.approx(share, abs=1e-9 if balanced else 0.03)
        for name, wanted in zip(OPERATIONS, of_each, strict=True):
            found = [said[name] == label for words, label in rows[:1000] if words[0] == name]
            assert np.mean(found) == pytest.approx(wanted, abs=1e-9 if balanced else 0.06), name


def test_balanced_expressions_are_drawn_like_others_of_their_pair(task):
    """Sums have balanced values anyway: among them lengths are distributed as without balance."""
    small = {"max_length": 64, "min_length": 8, "max_depth": 3, "max_args": 5, "training_examples": 4000}
    lengths = [
        np.mean([len(w) for w, _ in everything(ListOps(**small, balanced=b, held_out=40)) if w[0] == "[SM"])
        for b in (False, True)
    ]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.03)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(HmlcoreError, match=r"found only \d+ distinct expressions .* and balanced values"):
        ListOps(max_length=9, max_depth=2, min_length=3, balanced=True, training_examples=4000).batch(
            "test", 0, 1, 0
        )
