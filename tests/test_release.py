"""What a release says of itself: its version in one voice, and files that hold what they promise."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from hmlcore.files import listed

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))


def test_version_citation_and_change_log_agree():
    """Before a release, at it and after it."""
    named = str(CITATION["version"])
    assert Version(importlib.metadata.version("hmlcore")).base_version == named == Version(named).base_version
    entries = re.findall(r"^## (\S+), (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert entries[0][0] == named
    assert [Version(v) for v, _ in entries] == sorted((Version(v) for v, _ in entries), reverse=True)
    for version, date in entries:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", date) or (version == named and date == "not yet released")


def test_the_citation_says_what_is_needed():
    """The required fields of the format, and no others than it has."""
    assert CITATION["cff-version"] == "1.2.0"
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= CITATION.keys()
    assert CITATION.keys() <= {
        "cff-version", "message", "title", "authors", "version", "license", "type", "keywords", "abstract",
        "date-released", "repository-code", "url", "doi", "identifiers", "preferred-citation", "references",
    }  # fmt: skip
    assert CITATION["license"] == "Apache-2.0" and all(
        a.keys() & {"name", "family-names"} for a in CITATION["authors"]
    )


# Reading what these write executes what is in it.
EXECUTES = re.compile(
    r"\b(?:import|from) (?:pickle|cPickle|dill|joblib|shelve|marshal)\b|torch\.(?:load|save)\("
    r"|allow_pickle=True|read_pickle|to_pickle|trust_remote_code=True|yaml\.load\("
)


def test_no_file_is_read_by_executing_it():
    assert EXECUTES.search("import pickle") and EXECUTES.search("x = torch.load(path)")
    code = [
        *listed(ROOT / "src", "**/*.py"),
        *listed(ROOT / "tools", "*.py"),
        *listed(ROOT / "book", "**/*.py"),
    ]
    found = [str(p.relative_to(ROOT)) for p in code if EXECUTES.search(p.read_text("utf-8"))]
    assert len(code) > 300 and found == []


@pytest.mark.parametrize("name", ["bug", "result", "mixer"])
def test_a_form_for_issues_is_one(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert form.keys() == {"name", "description", "labels", "body"}
    asked = [entry for entry in form["body"] if entry["type"] != "markdown"]
    assert all(entry["type"] in ("input", "textarea", "dropdown", "checkboxes") for entry in asked)
    assert all(entry["attributes"]["label"] for entry in asked)
    assert len({entry["id"] for entry in asked}) == len(asked) >= 3
    assert any(entry.get("validations", {}).get("required") for entry in asked)


def test_types_are_checked_by_every_basic_rule_and_in_ci():
    """All of the package, no rule off for all or for a file, and by `make lint`, which CI runs."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pyright"]
    assert settings["typeCheckingMode"] == "basic" and settings["include"] == ["src/hmlcore"]
    assert settings.keys() == {"include", "venvPath", "venv", "pythonVersion", "typeCheckingMode"}
    off = re.compile(r"#\s*(type:\s*ignore|pyright:(?!\s*ignore\[))")
    code = listed(ROOT / "src" / "hmlcore", "**/*.py")
    assert len(code) > 300 and [p for p in code if off.search(p.read_text("utf-8"))] == []
    lint = re.search(r"^lint:.*\n\t(.*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert "-m pyright" in lint[1]
    assert re.search(r"^make lint \|\| status=1$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
