"""Where the package of an extra is absent, one line names the extra, before any work."""

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import hmlcore
from hmlcore import cli, doctor
from hmlcore.figures.images import draw_images
from hmlcore.files import listed

PACKAGE = Path(hmlcore.__file__).parent


@pytest.mark.parametrize(
    "package",
    [
        "papermill", "nbformat", "nbclient", "jupytext", "ipykernel", "jupyter_book", "sphinxcontrib",
        "sphinxcontrib.bibtex", "ipywidgets",
    ],
)  # fmt: skip
def test_the_book_names_its_extra(package, tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'hmlcore'\n")
    (tmp_path / "_toc.yml").write_text("root: intro\n")
    monkeypatch.setenv("HMLCORE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)
    for module in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, module)
    assert cli.main(["book", "--profile", "smoke", "--fresh"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hml: ") and package in line and line.endswith("pip install hmlcore[book]")
    assert not (tmp_path / "_build").exists()


def test_transformers_are_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "hmlcore.models.hf", raising=False)
    monkeypatch.delitem(sys.modules, "hmlcore.models.hf_cache", raising=False)
    with pytest.raises(hmlcore.HmlcoreError, match=r"'transformers', which .* pip install hmlcore\[hf\]$"):
        importlib.import_module("hmlcore.models.hf")


def test_kaleido_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    images, (notice,) = draw_images({})
    assert images == {} and notice.endswith("kaleido is not installed: pip install hmlcore[book]")


def test_nvml_is_an_extra(monkeypatch):
    monkeypatch.setattr(doctor.torch.cuda, "utilization", lambda _: importlib.import_module("pynvml_absent"))
    assert doctor._nvml(doctor.torch.device("cpu")).endswith("hmlcore[gpu] has")


def test_what_such_a_package_lacks_itself_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_doctor", lambda _: importlib.import_module("tenacity_absent"))
    assert cli.main(["doctor"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "hml: the package 'tenacity_absent' is not installed: pip install 'hmlcore[book,hf,log]'"
    monkeypatch.setattr(cli, "_doctor", lambda _: importlib.import_module("hmlcore.absent"))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["doctor"])


PROJECT = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
# Modules that are imported only where their package is known to be there.
GUARDED = (
    "explorers/widgets.py",
    "models/hf.py",
    "models/hf_cache.py",
    "ops/triton_probe.py",
    "ops/triton_tiles.py",
    "triton/",
)
ASKED = {re.match(r"\w+", line)[0] for line in PROJECT["dependencies"]}


def test_nothing_optional_is_imported_with_a_module():
    """But where GUARDED: such an import belongs into the function that needs it, after a check."""
    known, found = ASKED | set(sys.stdlib_module_names) | {"hmlcore"}, []
    for path in listed(PACKAGE, "**/*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            optional = any(name.split(".")[0] not in known or name == "hmlcore.models.hf" for name in names)
            if optional and not any(part in place for part in GUARDED):
                found.append(f"{place}: {names}")
    assert found == []
