"""The book's reference: every public name has words, and the words stand on a page as they were meant."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import docutils.core
import pytest

from hmlcore.files import listed

ROOT = Path(__file__).resolve().parents[2]
PAGES = listed(ROOT / "book" / "api", "*.md")
MODULES = {page.stem: re.findall(r"automodule:: (\S+)", page.read_text("utf-8")) for page in PAGES}


@pytest.fixture(scope="module")
def hmlapi():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        import hmlapi
    finally:
        sys.path.pop(0)
    return hmlapi


def public(module):
    """Name → what it is: the classes and functions that a module's page shows."""
    own = getattr(module, "__all__", None)
    if own is None:
        own = [
            n
            for n, x in vars(module).items()
            if getattr(x, "__module__", "") == module.__name__ and n[0] != "_"
        ]
    return {name: x for name in own if inspect.isclass(x := getattr(module, name)) or inspect.isroutine(x)}


def test_each_package_has_a_page():
    toc = (ROOT / "_toc.yml").read_text("utf-8")
    assert MODULES.keys() == {"layers", "models", "tasks", "training", "evaluation", "results"}
    for name, modules in MODULES.items():
        assert f"file: book/api/{name}" in toc
        assert modules[0] == f"hmlcore.{name}" or name == "evaluation"
    parts = {path.stem for path in listed(ROOT / "src" / "hmlcore" / "evaluation", "*.py")} - {"__init__"}
    assert {name.rpartition(".")[2] for name in MODULES["evaluation"]} == parts


@pytest.mark.parametrize("name", [name for modules in MODULES.values() for name in modules])
def test_every_public_name_has_a_docstring(name):
    """Its own methods too, which may have that of the method they override."""
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    silent = []
    for title, item in public(module).items():
        silent += [] if inspect.getdoc(item) else [title]
        for method, own in vars(item).items() if inspect.isclass(item) else ():
            if not method.startswith("_") and (inspect.isroutine(own) or isinstance(own, property)):
                silent += [] if inspect.getdoc(getattr(item, method)) else [f"{title}.{method}"]
    assert silent == []


DOCSTRING = """Mix x [B, T, d_model] over `time`, from *state*; x_ and |x| are names.

    y, state = mixer(x)     # as typed, x_ and *all*

Args:
    x: the *input*, of :class:`Mixer`s,
        whatever it is.
    state: ``None``: empty.
Raises: HmlcoreError for a|b
    and for c_.
"""


def test_a_docstring_becomes_a_page(hmlapi):
    lines = hmlapi.converted(DOCSTRING.splitlines())
    assert "    y, state = mixer(x)     # as typed, x_ and *all*" in lines
    assert r"- x: the \*input\*, of :class:`Mixer`\ s, whatever it is." in lines
    assert "- state: ``None``: empty." in lines
    assert r"**Raises:** HmlcoreError for a\|b and for c\_." in lines
    assert lines[0] == r"Mix x [B, T, d_model] over ``time``, from \*state\*; x\_ and \|x\| are names."


def test_no_docstring_of_ours_is_bad_markup(hmlapi):
    """Roles aside, which Sphinx knows: each converts to text that docutils reads without a word."""
    said = []
    for path in listed(ROOT / "src" / "hmlcore", "**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
                text := ast.get_docstring(node)
            ):
                markup = "\n".join(hmlapi.converted(text.splitlines()))
                markup = re.sub(r":[\w:]+:`([^`]+)`", r"``\1``", markup)
                tree = docutils.core.publish_doctree(markup, settings_overrides={"report_level": 5})
                said += [f"{path.name}: {x.astext()}" for x in tree.findall() if x.tagname == "system_message"]
    assert said == []
