"""The paper's source: it types no result; and texts and tables of studies become LaTeX."""

import re
from pathlib import Path

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.files import listed
from hmlcore.paper.asked import asked_by, read_by, without_comments
from hmlcore.paper.tables import fitted_table
from hmlcore.paper.tex import code, escaped

ROOT = Path(__file__).resolve().parents[2]
MATH = re.compile(
    r"\\begin\{(equation|align)\*?\}.*?\\end\{\1\*?\}|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL
)
# What a command is given that shows no text of its own.
NAMED = re.compile(
    r"\\(?:ref|eqref|label|cite[a-z]*|hml[a-z]+|input|bibliography[a-z]*|includegraphics)(?:\[[^]]*\])?\{[^}]*\}"
)
DECIMAL = re.compile(r"\d*\.\d+|\d+e-?\d+|\d+\s*\\%")


def typed_results(text: str) -> list[str]:
    """Digits in running text, and decimal fractions, percentages and powers of ten in its mathematics."""
    text = without_comments(text)
    body = text.partition(r"\begin{document}")[2] or text
    found = [number for part in MATH.finditer(body) for number in DECIMAL.findall(part[0])]
    return found + re.findall(r"\d+(?:\.\d+)?", NAMED.sub(" ", MATH.sub(" ", body)))


@pytest.mark.parametrize("path", listed(ROOT / "paper", "**/*.tex"), ids=lambda p: p.name)
def test_the_paper_types_no_results(path):
    assert typed_results(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Accuracy is 0.87 there.", ["0.87"]),
        ("It wins on 5 of 6 tasks.", ["5", "6"]),
        (r"Accuracy is $0.87$, in $12\%$ of cases.", ["0.87", r"12\%"]),
        (r"As \citep{yang2025gated} in Section~\ref{sec:2}, $h^2\beta < 4$. % 0.9", []),
        (r"\begin{equation} a = 2, b = .5 \end{equation}", [".5"]),
    ],
)
def test_a_typed_result_is_found(text, found):
    assert typed_results(text) == found


def test_all_that_the_paper_asks_for_exists_and_is_led_to():
    text = (ROOT / "paper" / "main.tex").read_text("utf-8")
    asked = asked_by(text)
    assert {"fair_strip"} <= {*asked["figure"]} and {"fair", "rotors", "physics"} <= {*asked["verdicts"]}
    assert asked["rules"] == asked["verdicts"]
    for kind, label in (("figure", "fig"), ("table", "tab")):
        for name in asked[kind]:
            assert rf"\ref{{{label}:{name}}}" in text, f"nothing in the text leads to {name}"
    assert {"generated/values.tex", "generated/summary.tex", "generated/sources.tex"} <= {*read_by(text)}


def test_text_becomes_latex():
    assert escaped("50% of a_b & `x_y` at η ≤ -0.5 – 1e-9") == (
        r"50\% of a\_b \& \texttt{x\_\allowbreak{}y} at \ensuremath{\eta} \ensuremath{\le} "
        r"\ensuremath{-}0.5 -- 1e-9"
    )
    assert code("hml run a.b") == r"\texttt{hml run a.\allowbreak{}b}"
    with pytest.raises(HmlcoreError, match="the caption of x has ☃"):
        escaped("a ☃", "the caption of x")


def table(cell: str) -> str:
    rows = f"{cell} & {cell}" + " \\\\\n"
    return (
        "\\begin{table}[t]\n\\centering\n\\caption{C.}\n\\begin{tabular}{ll}\n\\toprule\n"
        "a & b \\\\\n\\midrule\n"
        f"{rows}\\bottomrule\n\\end{{tabular}}\n\n\\smallskip{{\\footnotesize note}}\n\\end{{table}}\n"
    )


def test_tables_are_labelled_and_long_cells_come_in_lines():
    short = fitted_table(table("x"), "t")
    assert "\\caption{C.}\n\\label{tab:t}\n\\hmlfit{\\begin{tabular}{ll}" in short
    assert short.endswith("x & x \\\\\n\\bottomrule\n\\end{tabular}}\n\n\\hmlnote{note}\n\\end{table}\n")
    long = fitted_table(table("word " * 8 + "(kept in one line) " + "word " * 8), "t")
    assert r"(kept~in~one~line)" in long and long.count(r"\begin{tabular}[t]{@{}l@{}}") == 2
    with pytest.raises(HmlcoreError, match="table t has no caption"):
        fitted_table("\\begin{tabular}{l}x\\end{tabular}", "t")
