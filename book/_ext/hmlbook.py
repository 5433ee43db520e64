"""The book's Sphinx extension: figures and numbers out of the results store, pages without outside requests.

`HMLCORE_BOOK_PROFILE` names the profile whose results are shown (default ``laptop``).
"""

import json
import os
import shutil
from pathlib import Path
from typing import ClassVar

import plotly
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from hmlcore import paths
from hmlcore.figures.mystnb import plotly_html


def profile() -> str:
    return os.environ.get("HMLCORE_BOOK_PROFILE", "laptop")


def store() -> Path:
    return paths.results() / profile()


def stored(directive: SphinxDirective, kind: str, name: str, suffix: str) -> Path:
    """The file of a figure or table, on which the page depends from now on; an error names what makes it."""
    path = store() / f"{kind}s" / f"{name}{suffix}"
    directive.env.note_dependency(str(path))
    if not path.is_file():
        raise directive.error(
            f"{kind} {name!r} is not among the {profile()} results; make it with: "
            f"hml figures --profile {profile()}"
        )
    return path


class HmlFigure(SphinxDirective):
    """``{hml-figure} NAME``: a numbered, interactive figure from the store.

    The content is the caption, by default the one that goes with the figure.  The label is ``fig-NAME`` unless
    the option ``name`` gives another.
    """

    required_arguments = 1
    option_spec: ClassVar = {"name": directives.unchanged}
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = stored(self, "figure", name, ".json")
        figure = nodes.figure(
            "", nodes.raw("", plotly_html(json.loads(path.read_text("utf-8"))), format="html")
        )
        self.set_source_info(figure)
        self.options.setdefault("name", f"fig-{name}")
        self.add_name(figure)
        text = nodes.Element()
        sources = store() / "sources.json"
        own = json.loads(sources.read_text("utf-8"))["figures"][name]["caption"]
        caption = self.content or StringList([own], source=str(sources))
        self.state.nested_parse(caption, self.content_offset, text)
        for number, block in enumerate(text.children):
            figure += nodes.caption("", "", *block.children) if number == 0 else nodes.legend("", block)
        return [figure]


class HmlTable(SphinxDirective):
    """``{hml-table} NAME``: a table from the store, with its stamp."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = stored(self, "table", name, ".html")
        return [nodes.raw("", path.read_text("utf-8"), format="html")]


def load_numbers(app, config) -> None:
    """Make every entry of the store's ``numbers.json`` a substitution: ``{{ name }}`` in the prose."""
    path = store() / "numbers.json"
    if path.is_file():
        config.myst_substitutions = {**config.myst_substitutions, **json.loads(path.read_text("utf-8"))}


def collect_scripts(app, config) -> None:
    """Serve Plotly, MathJax and the widget manager from the site itself.

    Plotly comes from its Python package, the others from ``node_modules``.  Where those are absent
    the settings stay at Sphinx's and MyST-NB's own, which load them from a CDN.
    """
    folder = Path(app.doctreedir) / "hml-static"
    folder.mkdir(parents=True, exist_ok=True)
    config.html_static_path.append(str(folder))
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", folder)
    mathjax = paths.root() / "node_modules" / "mathjax" / "es5"
    widgets = paths.root() / "node_modules" / "@jupyter-widgets" / "html-manager" / "dist"
    if not (mathjax.is_dir() and widgets.is_dir()):
        print("notice: MathJax and widget scripts are not installed (npm): pages load them from a CDN")
        return
    # tex-svg.js loads the rarer TeX packages by itself, from where it was loaded.
    shutil.copytree(
        mathjax / "input" / "tex" / "extensions",
        folder / "mathjax" / "input" / "tex" / "extensions",
        dirs_exist_ok=True,
    )
    shutil.copy(mathjax / "tex-svg.js", folder / "mathjax")
    shutil.copy(widgets / "embed.js", folder / "ipywidgets-embed.js")
    for font in widgets.glob("*.woff2"):
        shutil.copy(font, folder)
    config.mathjax_path = "mathjax/tex-svg.js"
    config.nb_ipywidgets_js = {"ipywidgets-embed.js": {}}


def drop_thebe(app, pagename, templatename, context, doctree) -> None:
    """Leave out sphinx-thebe's scripts: unused here, they name a CDN and raise an error in the page."""
    scripts = context.get("script_files") or []
    for script in list(scripts):
        name = str(getattr(script, "filename", script) or "")
        body = str(getattr(script, "attributes", {}).get("body", ""))
        if "thebe" in (name + body).lower():
            scripts.remove(script)


def setup(app) -> dict:
    app.add_directive("hml-figure", HmlFigure)
    app.add_directive("hml-table", HmlTable)
    app.connect("config-inited", load_numbers)
    app.connect("config-inited", collect_scripts)
    app.connect("html-page-context", drop_thebe, priority=999)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
