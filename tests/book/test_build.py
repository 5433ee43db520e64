"""Executing chapters and building pages: what is skipped, what is refused, what is left behind."""

import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import jupytext
import nbformat
import pytest

from hmlcore import book
from hmlcore.errors import HmlcoreError
from hmlcore.notebooks import for_page, normalise

CHECKOUT = Path(__file__).resolve().parents[2]
RUN = "results/smoke/copy/0123456789abcdef.parquet"
CHAPTER = """
# %% [markdown]
# # A chapter

# %% tags=["parameters"]
profile = "smoke"
run_missing = True

# %%
import sys
print("warning", file=sys.stderr)
profile, run_missing
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one small chapter; call it with the chapter's source."""
    monkeypatch.setenv("HMLCORE_HOME", str(tmp_path))
    monkeypatch.setenv("HMLCORE_RESULTS", str(tmp_path / "results"))

    def make(source: str = CHAPTER, index: str = "# Book\n"):
        for folder in ("notebooks", "book/_static", "results/smoke/copy"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'hmlcore'\n")
        (tmp_path / "_toc.yml").write_text(
            "format: jb-book\nroot: book/index\nchapters: [{file: book/chapters/one}]\n"
        )
        (tmp_path / "_config.yml").write_text(
            "title: A book\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
            "sphinx: {local_extensions: {hmlbook: book/_ext}}\n"
        )
        shutil.copytree(CHECKOUT / "book" / "_ext", tmp_path / "book" / "_ext", dirs_exist_ok=True)
        (tmp_path / "book" / "index.md").write_text(index)
        (tmp_path / RUN).write_text("a run")
        notebook = jupytext.reads(source.lstrip(), fmt="py:percent")
        nbformat.write(notebook, tmp_path / "notebooks" / "one.ipynb")
        return tmp_path

    return make


def outputs(path) -> list:
    return [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])]


def test_chapter_is_executed_with_its_parameters_and_normalised(project):
    project()
    (chapter,) = book.execute_chapters("laptop")
    notebook = nbformat.read(chapter, as_version=4)
    (result,) = outputs(chapter)
    assert result.data["text/plain"] == "('laptop', False)"
    hidden = [c for c in notebook.cells if "remove-cell" in c.metadata.get("tags", [])]
    assert [c.metadata.tags[0] for c in hidden] == ["parameters", "injected-parameters"]
    assert [c.id for c in notebook.cells] == [f"cell-{n:03d}" for n in range(4)]
    assert "papermill" not in chapter.read_text()
    assert "version" not in notebook.metadata.get("language_info", {})


def test_a_chapter_keeps_where_it_was_executed_and_its_page_ends_with_that(project, monkeypatch):
    monkeypatch.setattr(book, "source_revision", lambda: ("0123456789abcdef", True))
    monkeypatch.setattr(book, "device_name", lambda device: "NVIDIA <X>")
    project()
    (chapter,) = book.execute_chapters("laptop")
    used, kept = version("torch"), nbformat.read(chapter, as_version=4).metadata["hmlcore"]
    assert kept == {"device": "NVIDIA <X>", "torch": used, "commit": "0123456789abcdef", "dirty": True}
    where = f"on NVIDIA &lt;X&gt;, with torch {used}, at commit 0123456789ab with changes."
    line = f'<p class="hml-origin">The cells of this page were executed {where}</p>'
    assert nbformat.reads(for_page(chapter, {}), as_version=4).cells[-1].source == line


def test_chapter_is_executed_again_only_when_something_changed(project):
    root = project()
    (chapter,) = book.execute_chapters("smoke")
    made, text = chapter.stat().st_mtime_ns, chapter.read_bytes()
    book.execute_chapters("smoke")
    assert chapter.stat().st_mtime_ns == made
    (root / RUN).write_text("another run")
    book.execute_chapters("smoke")
    assert chapter.stat().st_mtime_ns > made
    assert chapter.read_bytes() == text


def test_a_chapter_is_out_of_date_wherever_a_run_is_added(tmp_path):
    """Loose or packed."""
    notebook, keys = tmp_path / "one.ipynb", []
    for name in (".runs/copy/a.parquet", "copy.parquet", "copy.traces.parquet", "copy/a.parquet"):
        keys.append(book._chapter_key(notebook, tmp_path / "smoke", "", tmp_path / "main.pdf"))
        (tmp_path / "smoke" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "smoke" / name).write_text("a run")
    assert len({*keys, book._chapter_key(notebook, tmp_path / "smoke", "", tmp_path / "main.pdf")}) == 5


def test_fresh_empties_the_smoke_store_once(project, capsys):
    root = project()
    store = root / "results" / "smoke"
    book.execute_chapters("smoke", fresh=True)
    assert not store.exists()
    assert "emptied" in capsys.readouterr().out
    (root / RUN).parent.mkdir(parents=True)
    (root / RUN).write_text("made by this code")
    book.execute_chapters("smoke", fresh=True)
    assert (root / RUN).exists()


@pytest.mark.parametrize("place", ["results/smoke/measured_by_hand.csv", "_build/smoke/chapters/one.ipynb"])
def test_a_file_that_is_not_ours_is_refused_before_anything_is_touched(project, place):
    root = project()
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text("mine")
    with pytest.raises(HmlcoreError, match=f"{root / place} "):
        book.execute_chapters("smoke", fresh=True)
    assert (root / place).read_text() == "mine" and (root / RUN).read_text() == "a run"


def test_results_that_a_link_leads_to_are_not_emptied(project, monkeypatch):
    root = project()
    monkeypatch.delenv("HMLCORE_RESULTS")
    (root / "results").rename(root / "elsewhere")
    (root / "results").symlink_to(root / "elsewhere")
    with pytest.raises(HmlcoreError, match="results is a symbolic link"):
        book.execute_chapters("smoke", fresh=True)
    assert (root / RUN).read_text() == "a run"


def test_fresh_never_touches_a_committed_store(project):
    root = project()
    (root / "results/laptop/copy").mkdir(parents=True)
    kept = root / "results/laptop/copy/a.parquet"
    kept.write_text("published")
    book.execute_chapters("laptop", fresh=True)
    assert kept.read_text() == "published"


def test_failing_cell_is_named(project):
    project(CHAPTER + '\n# %%\nraise KeyError("no such run")\n')
    with pytest.raises(HmlcoreError, match=r"chapter one failed in cell 4 .*KeyError.*no such run"):
        book.execute_chapters("smoke")


def test_chapter_without_notebook_is_named(project):
    root = project()
    (root / "notebooks" / "one.ipynb").unlink()
    with pytest.raises(HmlcoreError, match="chapter 'one'"):
        book.execute_chapters("smoke")


def test_unknown_profile_lists_the_known(project):
    project()
    with pytest.raises(HmlcoreError, match="unknown profile 'huge'; known: full, laptop, smoke"):
        book.execute_chapters("huge")


@pytest.mark.slow
def test_missing_figure_names_the_command(project):
    root = project(index="# Book\n\n```{hml-figure} nothing\nA caption.\n```\n")
    (root / "results/laptop").mkdir(parents=True, exist_ok=True)
    (root / "results/laptop/sources.json").write_text('{"figures": {}}')
    with pytest.raises(HmlcoreError, match=r"figure 'nothing' is not among .*hml figures --profile laptop"):
        book.build_book("laptop")


def test_committed_chapters_change_only_with_their_content(project):
    root = project()
    first = book.commit_chapters()
    assert first == [root / "book" / "chapters" / "one.ipynb"]
    assert book.commit_chapters() == []


def test_where_a_chapter_was_executed_changes_no_committed_one(project, monkeypatch):
    root = project()
    ours = root / "book" / "chapters" / "one.ipynb"
    (executed,) = book.execute_chapters("laptop")
    assert book.commit_chapters() == [ours]
    text = ours.read_bytes()
    (root / "results" / "laptop").mkdir()
    (root / "results" / "laptop" / "copy.parquet").write_text("other runs: it is executed again")
    monkeypatch.setattr(book, "source_revision", lambda: ("another", None))
    assert book.commit_chapters() == [] and ours.read_bytes() == text
    assert nbformat.read(executed, as_version=4).metadata["hmlcore"]["commit"] == "another"
    old = nbformat.read(ours, as_version=4)
    del old.metadata["hmlcore"]  # committed before chapters said where they were executed
    ours.write_text(nbformat.writes(old) + "\n", "utf-8")
    assert book.commit_chapters() == [] and "hmlcore" not in nbformat.read(ours, as_version=4).metadata
    for other in (text.replace(b"A chapter", b"A page"), text[:-2], b"<<<<<<< a merge", b"[]"):
        ours.write_bytes(other)
        assert book.commit_chapters() == [ours], other
        assert ours.read_bytes() == executed.read_bytes()


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (("cpu", "unknown", None), "on a CPU, with torch 2, at an unknown commit."),
        (("H", "c0ffee", None), "on H, with torch 2, at commit c0ffee, perhaps with changes."),
        (("H", "c0ffee", False), "on H, with torch 2, at commit c0ffee."),
    ],
)
def test_what_is_not_known_of_a_commit_is_not_claimed(tmp_path, origin, said):
    kept = dict(zip(("device", "commit", "dirty"), origin, strict=True), torch="2")
    nbformat.write(nbformat.v4.new_notebook(metadata={"hmlcore": kept}), tmp_path / "one.ipynb")
    (line,) = nbformat.reads(for_page(tmp_path / "one.ipynb", {}), as_version=4).cells
    assert line.source.endswith(f"executed {said}</p>")


PRINTS = (
    CHAPTER
    + """
# %%
"first"
"last"

# %%
import pandas as pd, plotly.io
pd.get_option("display.precision"), plotly.io.renderers.default.split("+")[0], __debug__

# %%
import sys
sys.executable
"""
)


def shown(chapter: Path) -> list[str]:
    return [o.data["text/plain"] for o in outputs(chapter) if "data" in o]


def test_a_users_settings_reach_no_chapter(project, tmp_path, monkeypatch):
    """IPython's and Jupyter's settings, start-up files, another kernel of the same name, what variables say."""
    startup = "import pandas as pd; pd.set_option('display.precision', 1)\n"
    config = "c.InteractiveShell.ast_node_interactivity = 'all'\n"
    profile = tmp_path / "theirs" / "ipython" / "profile_default"
    kernel = tmp_path / "theirs" / "kernels" / "python3" / "kernel.json"
    for path, text in (
        (profile / "ipython_kernel_config.py", config), (profile / "startup" / "00.py", startup),
        (tmp_path / "theirs" / "jupyter_config.py", "raise SystemExit('their settings')\n"),
        (kernel, json.dumps({"argv": ["/bin/false"], "display_name": "theirs", "language": "python"})),
        (tmp_path / "theirs" / "start.py", startup),
    ):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, value in {
        "IPYTHONDIR": profile.parent, "JUPYTER_PATH": kernel.parents[2], "JUPYTER_DATA_DIR": kernel.parents[2],
        "JUPYTER_CONFIG_DIR": tmp_path / "theirs", "PYTHONSTARTUP": tmp_path / "theirs" / "start.py",
        "PLOTLY_RENDERER": "png", "VSCODE_PID": 1, "PYTHONOPTIMIZE": 1,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    before = dict(os.environ)
    project(PRINTS)
    (chapter,) = book.execute_chapters("laptop")
    expected = ["('laptop', False)", "'last'", "(6, 'plotly_mimetype', True)", repr(sys.executable)]
    assert shown(chapter) == expected
    assert dict(os.environ) == before


def test_widget_ids_are_counted():
    model = "0123456789abcdef" * 2
    state = {"application/vnd.jupyter.widget-state+json": {"state": {model: {"model_name": "Slider"}}}}
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": model}}
    notebook = nbformat.v4.new_notebook(metadata={"widgets": state, "papermill": {"duration": 1.0}})
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", view)])
    notebook.cells.append(cell)
    text = nbformat.writes(normalise(notebook))
    assert model not in text
    assert text.count("0" * 32) == 2
