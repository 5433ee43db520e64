"""What the documents say can be done: commands exist, links lead somewhere, results are not typed in."""

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from hmlcore.files import listed
from hmlcore.studies import experiments

ROOT = Path(__file__).resolve().parents[2]
BOOK = listed(ROOT / "book", "*.md")
BESIDE = [
    ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")
]
DOCUMENTS = [*BESIDE, *BOOK]
NOTEBOOKS = listed(ROOT / "notebooks", "*.py")
FENCE = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shell_blocks(path: Path) -> list[str]:
    return FENCE.findall(path.read_text("utf-8"))


def commands(path: Path) -> list[list[str]]:
    """Words of every command in the document: lines of its shell blocks, and `hml …`, `make …` in text."""
    text = path.read_text("utf-8")
    lines = [part for block in FENCE.findall(text) for part in re.split(r"\n|&&", block)]
    lines += re.findall(r"`((?:hml|make) [^`]+)`", FENCE.sub("", text))
    words = [line.split() for line in lines if line.strip() and not line.strip().startswith("#")]
    return [[w for w in line if not re.fullmatch(r"[A-Z_]+=\S*", w)] for line in words]


@pytest.fixture(scope="module")
def hml_help():
    """Help text of a subcommand of `hml`; fails where there is no such subcommand."""
    known = {}

    def ask(*words: str) -> str:
        if words not in known:
            command = [sys.executable, "-m", "hmlcore.cli", *words, "--help"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"hml {' '.join(words)}: {done.stderr}"
            known[words] = done.stdout
        return known[words]

    return ask


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_shell_blocks_parse(path):
    for block in shell_blocks(path):
        block = re.sub(r"<[^>]+>", "SOMETHING", block)
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_readme_gives_the_two_commands():
    lines = [line for block in shell_blocks(ROOT / "README.md") for line in block.splitlines()]
    assert "make book" in lines
    assert "make test" in lines


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line[1] for line in commands(path) if line[0] == "make"}
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_hml_commands_and_their_options_exist(path, hml_help):
    shown_here = re.findall(r'Experiment\("([^"]+)"', path.read_text("utf-8"))
    for line in commands(path):
        if Path(line[0]).name != "hml":
            continue
        text = hml_help(line[1])
        for option in (word for word in line[2:] if word.startswith("--")):
            assert option in text, f"hml {line[1]} has no {option}"
        if line[1] == "run" and len(line) > 2:
            known = [*experiments(), *shown_here]
            assert any(name.startswith(line[2]) for name in known), f"hml run does not know {line[2]}"


@pytest.mark.parametrize("path", BESIDE, ids=lambda p: p.name)
def test_links_and_images_exist(path):
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_make_help_lists_the_targets():
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in ("book", "test", "lint", "chapters", "figures", "paper", "lab", "explore", "clean"):
        assert re.search(rf"^  make {target} ", shown, re.MULTILINE), target


# A measured value in prose is a decimal fraction, a percentage or a power of ten outside code, math, links,
# citations, directives and substitutions.  Versions of Python are meant, not measured.
NOT_PROSE = re.compile(
    r"^```.*?^```|^\$\$.*?^\$\$|^:::.*?^:::|`[^`]*`|\$[^$]*\$|\{\{.*?\}\}|\{[a-z:]+\}|\]\([^)]*\)|https?://\S+"
    r"|arXiv[: ]\S+|Python 3\.\d+",
    re.MULTILINE | re.DOTALL,
)
RESULT = re.compile(r"(?<![\w.])(?<![A-Za-z]-)(?:\d*\.\d+|\d+\s?%|\d+\s?percent|\d+(?:\.\d+)?e-?\d+)(?![\w])")


def typed_results(text: str) -> list[str]:
    return RESULT.findall(NOT_PROSE.sub(" ", text))


@pytest.mark.parametrize("path", [ROOT / "README.md", *BOOK], ids=lambda p: p.name)
def test_pages_type_no_results(path):
    assert typed_results(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_chapters_type_no_results(path):
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "markdown":
            assert typed_results(cell.source) == [], cell.source


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Accuracy is 0.87 there, and 12% lower here.", ["0.87", "12%"]),
        ("HML reaches .93 at delay 64.", [".93"]),
        ("An error of 3e-7.", ["3e-7"]),
        ("Week 3–4, three seeds, Python 3.11, `0.5`, $\\tfrac12 0.5$, {{ copy_hml }}.", []),
        ("See [there](https://a.org/1.5) and {cite:p}`wilson1927probable`.", []),
    ],
)
def test_a_typed_result_is_found(text, found):
    assert typed_results(text) == found
