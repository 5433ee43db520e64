"""Tables in HTML and LaTeX, and what they admit."""

import itertools

import pandas as pd
import pytest
from made_up_results import MIXERS, loaded, provenance, recall_run, review_run, spec

from hmlcore.figures.tables import models_table, render, unequal
from hmlcore.results import Run, Store


def test_render_both_formats():
    frame = pd.DataFrame(
        {"name": ["a_b", "50 % & <x>"], "count": [12_345, 7], "score": [0.12345, float("nan")]}
    )
    table = render(frame, caption="Some scores.", label="tab:some", note="smoke profile · CPU_1 · 2–3 seeds")
    assert "<td>50 % &amp; &lt;x&gt;</td>" in table.html and "<td>12,345</td>" in table.html
    assert "<td>0.123</td>" in table.html and "<small>smoke profile · CPU_1 · 2–3 seeds</small>" in table.html
    for part in (
        r"\toprule", r"\midrule", r"\bottomrule", r"a\_b & 12,345 & 0.123 \\", r"50 \% \& <x> & 7 &  \\",
        r"\caption{Some scores.}", r"\label{tab:some}", r"\begin{tabular}{lrr}",
        r"\smallskip{\footnotesize smoke profile $\cdot$ CPU\_1 $\cdot$ 2--3 seeds}",
    ):  # fmt: skip
        assert part in table.latex, part
    assert table._repr_html_() == table.html


def test_note_with_every_special_character_is_plain_text():
    latex = render(pd.DataFrame({"a": [1]}), note="\\ { } $ & % # _ ~ ^").latex
    assert r"\textbackslash{} \{ \} \$ \& \% \# \_ \textasciitilde{} \^{}" in latex


def test_without_caption_the_table_does_not_float():
    assert r"\begin{table}" not in render(pd.DataFrame({"a": [1]})).latex


def test_models_of_made_up_recall(tmp_path):
    store = Store(tmp_path)
    for mixer, seed, width, lr in itertools.product(MIXERS, range(3), (16, 32, 64), (0.003, 0.01)):
        store.write(recall_run(mixer, seed, width, lr))
    table = models_table(loaded(store, "recall"))
    assert table.latex.count(r"\\") == 1 + 9  # header, three mixers at three widths
    rows = [line for line in table.latex.splitlines() if line.startswith(("HML", "Attention", "GRU"))]
    assert [row.split(" & ")[:2] for row in rows[:4]] == [
        ["HML", "16"],
        ["HML", "32"],
        ["HML", "64"],
        ["Attention", "16"],
    ]
    assert "laptop profile · CPU · 3 seeds" in table.html
    assert "State bytes are not equal at one width" in table.html
    assert "Parameters differ" not in table.html and "Tuning" not in table.html


def test_models_state_at_training_and_longest_length(tmp_path):
    store = Store(tmp_path)
    rows = [
        {"metric": "loss", "split": "train", "step": 1, "value": 1.0},
        {"metric": "exact", "payload": 4, "delay": 8, "value": 1.0, "state_bytes": 2048},
        {"metric": "exact", "payload": 4, "delay": 512, "value": 1.0, "state_bytes": 131_072},
    ]
    store.write(Run(spec("copy", "attention", 0), provenance(state_bytes=4096), rows))
    html = models_table(loaded(store, "copy")).html
    assert "<td>4 KiB</td>" in html and "<td>128 KiB</td>" in html and "<td>0.21</td>" in html


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"parameters": [100, 103]}, "Parameters differ by up to 3% at one width"),
        ({"state, training": [1, 2]}, "State bytes are not equal at one width"),
        ({"seeds": [3, 2]}, "Seeds are not equal"),
        ({"rates tried": [1, 3]}, "Tuning budgets are not equal"),
    ],
)
def test_what_is_not_equal_is_said(change, remark):
    equal = {"parameters": [1000, 1005], "state, training": [8, 8], "seeds": [3, 3], "rates tried": [2, 2]}
    assert unequal(pd.DataFrame(equal)) == []
    assert unequal(pd.DataFrame({**equal, **change})) == [remark]
    apart = pd.DataFrame({**equal, "parameters": [100, 900], "width": [32, 64]})
    assert unequal(apart) == []  # widths are not compared with each other


def test_directions_are_rows_of_their_own_and_tuned_apart(tmp_path):
    store = Store(tmp_path)
    for mixer, lr in itertools.product(("hml", "gru"), (0.001, 0.003)):
        store.write(review_run(mixer, 0, lr))
        store.write(review_run(mixer, 0, direction="bidirectional"))
    table = models_table(loaded(store, "lra_text"))
    rows = [line.split(" & ") for line in table.latex.splitlines() if line.startswith(("HML", "GRU"))]
    assert [row[:3] for row in rows] == [
        ["HML", "64", "causal"],
        ["HML", "64", "bidirectional"],
        ["GRU", "64", "causal"],
        ["GRU", "64", "bidirectional"],
    ]
    assert [row[-1].split()[0] for row in rows] == ["2", "1", "2", "1"]
    assert "Learning rates tried: 2 causal, 1 bidirectional" in table.html
    assert "Tuning budgets" not in table.html


def test_unequal_tuning_within_a_direction_is_said():
    frame = pd.DataFrame(
        {"parameters": 10, "state, training": 8, "seeds": 3, "rates tried": [2, 1, 1],
         "direction": ["causal", "causal", "bidirectional"]}
    )  # fmt: skip
    assert unequal(frame) == ["Tuning budgets are not equal"]
