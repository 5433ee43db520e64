"""pyproject.toml, environment.yml, constraints.txt and the setup script agree, and name no registry."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# What the book's readers work with; conda installs these itself, the rest comes with the package.
FOR_CONDA = {
    "torch", "datasets", "plotly", "jupyterlab", "jupytext", "papermill", "jupyter-book", "ipywidgets", "nbval"
}  # fmt: skip
CONDA_NAMES = {"pytorch": "torch"}


def requirements() -> dict[str, Requirement]:
    """Everything pyproject.toml asks for, by canonical name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(n): v for n, v in (line.split("==") for line in lines if "==" in line)}


@pytest.fixture(scope="module")
def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_conda_names_the_same_versions(conda):
    listed = [Requirement(line) for line in conda["dependencies"] if isinstance(line, str)]
    specifiers = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in listed}
    assert set(specifiers) == FOR_CONDA | {"python", "pip", "nodejs"}
    asked = requirements()
    for name in FOR_CONDA:
        assert specifiers[name] == asked[name].specifier, name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(specifiers["python"]) == project["requires-python"]


def test_conda_adds_the_package_itself(conda):
    assert conda["channels"] == ["conda-forge"]
    (by_pip,) = [line["pip"] for line in conda["dependencies"] if isinstance(line, dict)]
    assert by_pip == ["-e .[book,test]"]


def test_binder_builds_from_the_environment_and_finds_the_committed_chapters(conda):
    """Other files would go before environment.yml; a chapter that is launched lies at its page's own path."""
    before = ("Dockerfile", "binder", ".binder", "requirements.txt", "Pipfile", "runtime.txt", "apt.txt")
    assert [name for name in before if (ROOT / name).exists()] == []
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert {"binderhub_url", "colab_url"} < config["launch_buttons"].keys() and not config["repository"]["url"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "ipykernel" in {Requirement(line).name for line in extras["book"]}
    committed = subprocess.run(["git", "ls-files", "book/chapters"], cwd=ROOT, capture_output=True, text=True)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    chapters = [f"{name}.ipynb" for name in files if name.startswith("book/chapters/")]
    assert chapters and set(chapters) <= set(committed.stdout.split())
    for name in chapters:
        assert json.loads((ROOT / name).read_text("utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


def test_constraints_pin_what_is_asked_for():
    pinned = pins()
    for name, requirement in requirements().items():
        assert name in pinned, f"{name} is not pinned in constraints.txt"
        assert pinned[name] in requirement.specifier, f"{name}=={pinned[name]} does not satisfy {requirement}"
    assert "+" not in pinned["torch"], "a local version would shut out either CPU or CUDA builds"


def test_installed_versions_are_the_pinned_ones():
    for name, version in pins().items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert installed.split("+")[0] == version, name


def test_page_scripts_are_locked_and_name_no_registry():
    asked = json.loads((ROOT / "package.json").read_text())["dependencies"]
    lock = (ROOT / "package-lock.json").read_text()
    locked = json.loads(lock)["packages"]
    assert all(locked[f"node_modules/{name}"]["version"] == version for name, version in asked.items())
    assert all("integrity" in entry for path, entry in locked.items() if path)
    assert '"resolved"' not in lock
    for name in ("constraints.txt", "environment.yml", "pyproject.toml", "tools/setup_env.py", "Makefile"):
        assert not re.search(r"https?://|index-url", (ROOT / name).read_text()), name


@pytest.fixture(scope="module")
def setup_env():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import setup_env
    finally:
        sys.path.pop(0)
    return setup_env


@pytest.mark.parametrize(
    ("gpu", "offered", "system", "installer"),
    [
        (True, None, "Linux", "pip"),
        (False, "2.13.0+cpu", "Linux", "pip"),
        (False, "2.13.0", "Linux", "uv"),
        (False, None, "Linux", "uv"),
        (False, "2.13.0", "Darwin", "pip"),
        (False, "2.13.0", "Windows", "pip"),
    ],
)
def test_torch_build_fits_the_machine(setup_env, gpu, offered, system, installer):
    assert setup_env.torch_installer(gpu, offered, system) == installer


def test_setup_pins_torch_as_the_package_does(setup_env):
    assert Requirement(setup_env.torch_pin()).specifier == requirements()["torch"].specifier


@pytest.fixture
def fake_python(tmp_path):
    """Puts a `python3` of a given version first on a PATH that has nothing else of the kind."""

    def make(name: str, version: tuple[int, int]) -> Path:
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n[ {version[0] * 100 + version[1]} -ge 311 ]\n")
        script.chmod(0o755)
        return script

    return make


def find_python(path: Path) -> subprocess.CompletedProcess:
    command = ["/bin/sh", str(ROOT / "tools" / "find-python")]
    return subprocess.run(command, env={"PATH": str(path)}, capture_output=True, text=True)


def test_plain_python3_is_preferred_where_it_is_new_enough(fake_python, tmp_path):
    plain, newer = fake_python("python3", (3, 11)), fake_python("python3.13", (3, 13))
    assert find_python(tmp_path).stdout.strip() == str(plain)
    fake_python("python3", (3, 9))
    assert find_python(tmp_path).stdout.strip() == str(newer)


def test_no_python_is_one_clear_message(fake_python, tmp_path):
    fake_python("python3", (3, 10))
    done = find_python(tmp_path)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr


def test_what_is_installed_runs_on_the_oldest_python():
    """A pin that asks for a later patch release of Python shuts out a system's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    late = {}
    for name in pins():
        try:
            asked = importlib.metadata.metadata(name).get("Requires-Python")
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed
        if asked and not SpecifierSet(asked).contains(oldest):
            late[name] = asked
    assert late == {}


@pytest.fixture
def converting(tmp_path):
    """A checkout of this project's scripts by a Git that converts line ends."""

    def git(*arguments: str) -> str:
        options = [
            "-c",
            "core.autocrlf=true",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a",
            "-c",
            "core.safecrlf=false",
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        command = ["git", *options, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for name in SHARED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    git("init", "-q"), git("add", "-A"), git("commit", "-qm", "all")
    for name in SHARED:
        (tmp_path / name).unlink()
    git("checkout", "-q", "--", ".")
    return tmp_path


SHARED = (
    ".gitattributes", "tools/find-python", ".ci/run", "experiments/run_lra.sh", "Makefile", "constraints.txt",
    "notebooks/w07_lra.ipynb", "src/hmlcore/studies/lra/rates.json", "results/laptop/lra_text.parquet",
)  # fmt: skip


def test_a_checkout_has_the_same_bytes_where_git_converts_line_ends(converting):
    changed = [name for name in SHARED if (converting / name).read_bytes() != (ROOT / name).read_bytes()]
    assert changed == []


LEAKS = {
    "PIP_USER": "1", "PIP_TARGET": "t", "PIP_DRY_RUN": "1", "PIP_CONSTRAINT": "c", "UV_SYSTEM_PYTHON": "1",
    "NPM_CONFIG_PREFIX": "p", "npm_config_global": "true", "GIT_DIR": "g", "GIT_INDEX_FILE": "i",
    "IPYTHONDIR": "i", "JUPYTER_PATH": "j", "JUPYTER_CONFIG_DIR": "j", "PYTEST_ADDOPTS": "-x",
    "PYTHONPATH": "p", "PYTHONSTARTUP": "s", "PYTHONOPTIMIZE": "2", "VIRTUAL_ENV": "v",
}  # fmt: skip
KEPT = {
    name: "kept"
    for name in (
        "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONFIG_FILE", "PIP_CERT", "PIP_PROXY",
        "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_FIND_LINKS",
        "UV_CACHE_DIR", "NPM_CONFIG_REGISTRY", "npm_config_https_proxy", "npm_config_cafile", "GIT_SSL_CAINFO",
        "GIT_CONFIG_COUNT", "HTTPS_PROXY", "HMLCORE_DATA",
    )
}  # fmt: skip


def seen(environment: dict[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in environment.keys() & (LEAKS | KEPT).keys()}


def test_no_target_sees_what_changes_the_tools_but_where_packages_come_from():
    command = ["make", "--no-print-directory", "--eval", "show: ; @env", "show"]
    environment = {"PATH": os.environ["PATH"]} | LEAKS | KEPT
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert seen(dict(line.split("=", 1) for line in done.stdout.splitlines())) == KEPT


def test_setup_alone_does_the_same(setup_env):
    environment = LEAKS | KEPT
    setup_env.shield(environment)
    assert environment.pop("PIP_USER") == "0"  # also against a configuration file
    assert seen(environment) == KEPT
