"""Shares of seeds and medians of steps, on made-up runs."""

import math
import subprocess
import sys

import pytest
from made_up import provenance, spec

from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store, Tuning
from hmlcore.studies.kit.solved import solved_frame, solved_table

NEVER = math.inf
# (task, mixer) → steps to 90 % by seed, and whether it was solved.
FOUND = {
    ("copy", "gru"): [(NEVER, 0), (400, 0), (NEVER, 0)],
    ("copy", "hml"): [(100, 1), (300, 1), (NEVER, 0)],
    ("sums", "gru"): [(900, 1), (NEVER, 0)],
    ("sums", "hml"): [(1000, 1), (1500, 1)],
}


def made(task, mixer, seed, steps, solved, lr=0.01, score=1.0, **more):
    rows = [
        {"metric": "solved", "split": "train", "value": solved},
        {"metric": "steps_to_90", "split": "train", "value": steps},
        {"metric": "accuracy", "split": "validation", "value": score},
        {"metric": "accuracy", "split": "train", "value": 0.1, "step": 10},
        {"metric": "accuracy", "split": "train", "value": 0.2, "step": 20},
    ]
    if "solved_at" not in more:
        rows = rows[2:]
    named = {"task": task, "seed": seed, "mixer": mixer, "lr": lr, "experiment": "races", **more}
    return Run(spec(**named), provenance(), [{**row, "task": task} for row in rows])


@pytest.fixture
def results(tmp_path):
    store = Store(tmp_path)
    for (task, mixer), seeds in FOUND.items():
        for seed, (steps, solved) in enumerate(seeds):
            store.write(made(task, mixer, seed, steps, float(solved), solved_at=0.99))
    # A rate that validation does not choose, though it is the quicker one, and a case that never ends early.
    store.write(made("copy", "hml", 0, 10, 1.0, lr=0.1, score=0.5, solved_at=0.99))
    store.write(made("books", "hml", 0, 10, 1.0))
    return store.load("smoke", "races", factors=("task",), tuning=Tuning("accuracy", "max", ("task",)))


def test_shares_and_medians_of_every_case(results):
    frame = solved_frame(results)
    assert list(frame) == ["task", "mixer", "seeds", "solved", "steps_to_90"]
    found = {tuple(line[:2]): tuple(line[2:]) for line in frame.itertuples(index=False)}
    assert found == {
        ("copy", "hml"): (3, pytest.approx(2 / 3), 300),
        ("copy", "gru"): (3, 0, NEVER),
        ("sums", "hml"): (2, 1, 1250),
        ("sums", "gru"): (2, 0.5, NEVER),
    }
    assert list(zip(frame["task"], frame["mixer"], strict=True)) == list(found), "HML comes first"


def test_readers_get_counts_and_words(results):
    table = solved_table(results)
    rows = [line.split("</td>")[:-1] for line in table.html.split("<tr>")[1:]]
    texts = [[cell.rpartition(">")[2] for cell in row] for row in rows]
    assert texts == [
        ["copy", "HML", "2 of 3", "300"], ["copy", "GRU", "0 of 3", "never"],
        ["sums", "HML", "2 of 2", "1,250"], ["sums", "GRU", "1 of 2", "never"],
    ]  # fmt: skip
    assert "training accuracy 0.99 on every task" in table.html


def test_runs_that_do_not_end_early_have_no_table(tmp_path):
    store = Store(tmp_path)
    store.write(made("books", "hml", 0, 10, 1.0))
    with pytest.raises(HmlcoreError, match="unknown metric 'solved'"):
        solved_frame(store.load("smoke", "races"))


def test_without_factors_there_is_one_case(tmp_path):
    store = Store(tmp_path)
    for seed, steps in enumerate((10, 30)):
        store.write(made("copy", "hml", seed, steps, 1.0, solved_at=0.5))
    frame = solved_frame(store.load("smoke", "races"))
    assert frame.to_dict("records") == [{"mixer": "hml", "seeds": 2, "solved": 1.0, "steps_to_90": 20}]


def test_it_needs_no_torch():
    code = "import sys; import hmlcore.studies.kit.solved; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
