"""The study that CONTRIBUTING.md shows, from its files to a page: grid, run, claim, figure, table, number."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTION = TEXT[TEXT.index("## A study") : TEXT.index("## Notebooks")]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The example's files in a folder outside the package, and an environment that knows it."""
    folder = tmp_path_factory.mktemp("own")
    files = re.findall(r"^`(\w+\.py)`.*?```python\n(.*?)```", SECTION, re.M | re.S)
    assert [name for name, _ in files] == ["__init__.py", "grid.py", "claims.py", "figures.py"]
    (folder / "studies" / "counting").mkdir(parents=True)
    for name, text in files:
        (folder / "studies" / "counting" / name).write_text(text, "utf-8")
    own = {"STUDIES": "studies", "RESULTS": "results", "CHECKPOINTS": "checkpoints", "CACHE": "cache"}
    environment = os.environ | {f"HMLCORE_{name}": str(folder / place) for name, place in own.items()}
    return folder, environment | {"HMLCORE_BOOK_PROFILE": "smoke", "HMLCORE_HOME": str(ROOT)}


def hml(environment, *arguments):
    command = [sys.executable, "-m", "hmlcore.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_short():
    blocks = re.findall(r"```python\n(.*?)```", SECTION, re.S)
    assert sum(len(block.splitlines()) for block in blocks) < 100


@pytest.mark.slow
def test_the_example_goes_from_a_grid_to_a_page(own):
    folder, environment = own
    assert "counting" in hml(environment, "list")
    assert "6 made" in hml(environment, "run", "counting", "--profile", "smoke", "--jobs", "1")
    hml(environment, "figures", "--profile", "smoke")
    made = folder / "results" / "smoke"
    sources = json.loads((made / "sources.json").read_text("utf-8"))
    beside, runs = sources["figures"]["counting"], sources["results"]["counting"]["specs"]
    assert len(runs) == 6 and beside["caption"].startswith("Counting: accuracy")
    assert sources["tables"]["counting_models"]["experiment"] == "counting"
    assert (made / "tables" / "counting_models.html").is_file()
    assert json.loads((made / "numbers.json").read_text("utf-8")) == {"counting_longest": "16"}
    (claim,) = json.loads((made / "claims.json").read_text("utf-8"))["claims"]
    assert claim["statement"] == "HML still counts at 2 times its training, as a GRU does"
    shown = hml(environment, "show", "counting.as_well_as_the_unit", "--profile", "smoke")
    assert claim["verdict"] in shown and all(run[:16] in shown for run in claim["runs"])
    page = re.search(r"````markdown\n(.*?)````", SECTION, re.S)[1]
    source = folder / "page"
    source.mkdir()
    (source / "index.md").write_text(f"# Counting\n\n{page}", "utf-8")
    settings = 'extensions = ["myst_nb", "hmlbook"]\nmyst_enable_extensions = ["colon_fence", "substitution"]\n'
    (source / "conf.py").write_text(settings, "utf-8")
    folders = ["-d", str(folder / "doctrees"), str(source), str(folder / "html")]
    command = [sys.executable, "-m", "sphinx", "-q", "-W", *folders]
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "book" / "_ext"), environment.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    html = (folder / "html" / "index.html").read_text("utf-8")
    assert "hml-plotly" in html and beside["caption"][:40] in html and "up to 16 symbols" in html
