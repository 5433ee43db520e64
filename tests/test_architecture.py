"""The shape of the code: who imports whom, how long a module may be, what it says of itself."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hmlcore.files import listed

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "hmlcore"
MODULES = listed(PACKAGE, "**/*.py")
LONGEST = 300


def lint_imports(folder, **environment):
    """Check the contracts on the package below `folder`."""
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--no-cache",
        "--config",
        str(ROOT / ".importlinter"),
    ]
    environment = os.environ | {"PYTHONPATH": str(folder)} | environment
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_imports_follow_the_layers():
    done = lint_imports(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kept, 0 broken" in done.stdout


# What is written at the end of which module, the contract that it breaks, and how the linter names it.
VIOLATIONS = {
    "a layer that reads results": ("layers/gru.py", "from hmlcore.results import Store", "Models know neither",
                                   "hmlcore.layers.gru -> hmlcore.results "),
    "an op that knows models": ("ops/gru.py", "import hmlcore.models", "The order of the package",
                                "hmlcore.ops.gru -> hmlcore.models "),
    "a figure that needs torch": ("figures/style.py", "import torch", "Figures and results need no torch",
                                  "hmlcore.figures.style -> torch "),
    "a study's figure that needs torch": ("studies/copy/figures.py", "import torch", "Figures and results",
                                          "hmlcore.studies.copy.figures -> torch "),
    "a claim that measures": ("studies/recall/claims.py", "import hmlcore.evaluation.metrics",
                              "Figures and results",
                              "hmlcore.studies.recall.claims -> hmlcore.evaluation.metrics "),
    "a study whose name needs torch": ("studies/needle/__init__.py", "import torch", "What a study is called",
                                       "hmlcore.studies.needle -> torch "),
    "a study that knows another": ("studies/copy/grid.py", "import hmlcore.studies.recall.grid",
                                   "Studies do not know each other",
                                   "hmlcore.studies.copy.grid -> hmlcore.studies.recall.grid "),
    "a study that knows the runner": ("studies/kit/claim.py", "import hmlcore.runner.grid",
                                      "The order of the package",
                                      "hmlcore.studies.kit.claim -> hmlcore.runner.grid "),
    "a module that nobody placed": ("loose.py", "", "The order of the package", "hmlcore.loose"),
}  # fmt: skip


def broken_contracts(printed):
    """Contract → what the linter says about it."""
    _, _, details = printed.partition("Broken contracts")
    parts = re.split(r"^(.+)\n-+\n", details, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_linter_sees_every_kind_of_violation(tmp_path):
    """All of them at once: each is found in the report of its contract."""
    copy = tmp_path / "hmlcore"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for module, line, _, _ in VIOLATIONS.values():
        with (copy / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    said = broken_contracts(done.stdout)
    assert len(said) == 5
    missed = {
        name
        for name, (_, _, contract, words) in VIOLATIONS.items()
        if not any(title.startswith(contract) and words in text for title, text in said.items())
    }
    assert missed == set(), done.stdout


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "triton"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
import pkgutil
import hmlcore, hmlcore.cli, hmlcore.results.statistics, hmlcore.figures, hmlcore.paths, hmlcore.results
from hmlcore import HmlcoreError, ResultSet, Store
for package in (hmlcore.results, hmlcore.figures):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        __import__(module.name)
from hmlcore import studies
from hmlcore.studies import export
for name in studies.studies():
    studies.part(name, "claims")  # one that only chooses has none
    assert studies.part(name, "figures"), name
assert len(export.figures()) > 20 and len(export.claims()) > 20 and export.tables()
try:
    hmlcore.HML
except ModuleNotFoundError as error:
    print("torch is absent:", error)
"""


def test_results_and_figures_work_where_torch_is_absent():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("torch is absent: No module named 'torch'")


def test_the_public_surface_is_lazy_and_whole():
    code = """
import sys, hmlcore
assert "torch" not in sys.modules and "pandas" not in sys.modules
assert set(hmlcore.__all__) <= set(dir(hmlcore))
for name in hmlcore.__all__:
    assert getattr(hmlcore, name) is not None
try:
    hmlcore.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no attribute 'nothing'; it has: Attention, Backbone" in done.stdout


@pytest.mark.parametrize("package", ["hmlcore", "hmlcore.runner"])
def test_types_of_a_lazy_package_are_those_of_its_table(package):
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.asname: node.module for node in block.body for alias in node.names if alias.asname == alias.name
    }
    assert told == {name: f"{package}.{home}" for name, home in module._HOMES.items()}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_is_short_and_says_what_it_is(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    tree = ast.parse(text)
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    silent = [node.name for node in public if not ast.get_docstring(node)]
    assert silent == [], "public, without a docstring"
    assert not tree.body or ast.get_docstring(tree), "the module has no docstring"


LONGEST_FUNCTION = 60


def test_functions_are_short():
    """Docstring included."""
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert found == set()


SOURCES = ("src", "tests", "tools", "notebooks", "book", "paper", "experiments", ".github", ".ci")
TEXT = {
    ".py",
    ".md",
    ".yml",
    ".yaml",
    ".toml",
    ".ipynb",
    ".js",
    ".sh",
    ".cfg",
    ".cff",
    ".txt",
    ".bib",
    ".tex",
    ".css",
    "",
}
# A folder that only one machine has, at the start of a path.
MACHINE = re.compile(r"""(?<![\w/:.$}\])])/(?:work|tmp|root|home|Users|mnt|scratch)/[\w.-]+""")


def text_files():
    top = [p for p in ROOT.iterdir() if p.is_file()]
    below = [p for name in SOURCES for p in listed(ROOT / name, "**/*") if p.is_file()]
    made = {"__pycache__", "node_modules", ".ipynb_checkpoints"}
    return [p for p in (*top, *below) if p.suffix in TEXT and not made & set(p.parts)]


def test_no_file_names_a_place_of_one_machine():
    assert MACHINE.search("open('/home" + "/ada/data')") and not MACHINE.search("https://x.org/home" + "/ada")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in text_files()
        for match in MACHINE.finditer(path.read_text("utf-8", errors="replace"))
    ]
    assert found == []
