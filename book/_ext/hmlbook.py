"""The book's Sphinx extension: figures and numbers out of the results store, pages without outside requests.

`HMLCORE_BOOK_PROFILE` names the profile whose results are shown (default ``laptop``).
"""

import html
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
from hmlcore.errors import HmlcoreError
from hmlcore.explorers import page
from hmlcore.explorers.kinds import kind as explorer_kind
from hmlcore.explorers.store import store_data
from hmlcore.figures.mystnb import plotly_html
from hmlcore.results import Store
from hmlcore.runner.plan import plan
from hmlcore.studies.export import figures, tables
from hmlcore.studies.kit.study import check_profile


def profile() -> str:
    return os.environ.get("HMLCORE_BOOK_PROFILE", "laptop")


def store() -> Path:
    return paths.results() / profile()


def stored(directive: SphinxDirective, kind: str, name: str, suffix: str) -> Path | list[nodes.Node]:
    """The file of a figure or table, on which the page depends from now on; an error names what makes it.

    With the option ``awaited``, where the store has no runs of its experiment at all, that this is so instead.
    """
    path = store() / f"{kind}s" / f"{name}{suffix}"
    directive.env.note_dependency(str(path))
    if not path.is_file():
        known = {"figure": figures, "table": tables}[kind]()
        if "awaited" in directive.options and name in known:
            experiment = known[name].experiment
            if experiment not in read("sources.json").get("results", {}):
                return [not_in_yet(experiment, directive.env.temp_data)]
        raise directive.error(
            f"{kind} {name!r} is not among the {profile()} results; make it with: "
            f"hml figures --profile {profile()}"
        )
    return path


def read(name: str) -> dict:
    """What the store's file `name` says; nothing, where there is none."""
    path = store() / name
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def not_in_yet(experiment: str, page: dict) -> nodes.Node:
    """That there are no runs of an experiment, and what would make them; once said on a page, in few words."""
    told = page.setdefault("hml-awaited", set())
    if experiment in told:
        name, rest = nodes.literal("", experiment), nodes.Text(", which are not in yet.")
        return nodes.paragraph("", "", nodes.Text("Waits for the runs of "), name, rest)
    told.add(experiment)
    said = nodes.note("", classes=["hml-awaited"])
    command = f"hml run {experiment} --profile {profile()}"
    said += nodes.paragraph(
        "", "", nodes.Text("The runs of "), nodes.literal("", experiment),
        nodes.Text(f" are not in yet at the {profile()} profile: "), nodes.literal("", command),
        nodes.Text(" makes them. Once the store has them, what they show stands here."),
    )  # fmt: skip
    return said


class HmlFigure(SphinxDirective):
    """``{hml-figure} NAME``: a numbered, interactive figure from the store.

    The content is the caption, by default the one that goes with the figure.  The label is ``fig-NAME`` unless
    the option ``name`` gives another.  With ``awaited`` a page may show it before its runs are in, and says so.
    """

    required_arguments = 1
    option_spec: ClassVar = {"name": directives.unchanged, "awaited": directives.flag}
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = stored(self, "figure", name, ".json")
        if isinstance(path, list):
            return path
        figure = nodes.figure(
            "", nodes.raw("", plotly_html(json.loads(path.read_text("utf-8"))), format="html")
        )
        self.set_source_info(figure)
        self.options.setdefault("name", f"fig-{name}")
        self.add_name(figure)
        text = nodes.Element()
        sources = store() / "sources.json"
        own = read("sources.json")["figures"][name]["caption"]
        caption = self.content or StringList([own], source=str(sources))
        self.state.nested_parse(caption, self.content_offset, text)
        for number, block in enumerate(text.children):
            figure += nodes.caption("", "", *block.children) if number == 0 else nodes.legend("", block)
        return [figure]


class HmlTable(SphinxDirective):
    """``{hml-table} NAME``: a table from the store, with its stamp; ``awaited`` as for figures."""

    required_arguments = 1
    option_spec: ClassVar = {"awaited": directives.flag}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        path = stored(self, "table", name, ".html")
        if isinstance(path, list):
            return path
        return [nodes.raw("", path.read_text("utf-8"), format="html")]


class HmlExplorer(SphinxDirective):
    """``{hml-explorer} NAME``: a live explorer, numbered; a still picture until its scripts run, and without.

    The content is the caption, by default that of the explorer. Options ``text``, ``models`` and ``at`` (from
    1) are what it opens with. The label is ``explorer-NAME`` unless the option ``name`` gives another.
    """

    required_arguments = 1
    option_spec: ClassVar = dict.fromkeys(("name", "text", "models", "at"), directives.unchanged)
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        try:
            own = explorer_kind(name)
            state = {key: self.options[key] for key in ("text", "models", "at") if key in self.options}
            static = "../" * self.env.docname.count("/") + "_static/"
            still = f'<img src="{static}explorers/{name}.png" alt="{html.escape(own.caption)}" loading="lazy">'
            opened = page.element(name, still, folder=static, **state)
            models = state.get("models", " ".join(own.models)).split()
            files = [page.model_script(model) for model in page.at_once(name, models)]
            front = page.SCRIPT if own.models else page.PLAIN
            if name == "store":
                files.append(write_store(Path(self.env.doctreedir) / "hml-static"))
        except HmlcoreError as error:
            raise self.error(str(error)) from error
        scripts = "".join(f'<script defer src="{static}{file}"></script>' for file in (*files, front))
        figure = nodes.figure("", nodes.raw("", opened + scripts, format="html"))
        self.set_source_info(figure)
        self.options.setdefault("name", f"explorer-{name}")
        self.add_name(figure)
        caption = self.content or StringList([own.caption], source=__file__)
        text = nodes.Element()
        self.state.nested_parse(caption, self.content_offset, text)
        figure += nodes.caption("", "", *text.children[0].children)
        return [figure]


def write_store(folder: Path) -> str:
    """The name of the script with what the store has at this profile, written to `folder`."""
    found = store_data(Store(paths.results()), (profile(),), specs=False)
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    (folder / "hml-store.js").write_text(page.store_script(text), "utf-8")
    return "hml-store.js"


class HmlPlan(SphinxDirective):
    """``{hml-plan} PROFILE``: what a profile would cost on a GPU, by the speeds that the store has measured;
    where it has none to compare, a note that says so."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        asked = self.arguments[0]
        try:
            check_profile(asked)
        except HmlcoreError as error:
            raise self.error(str(error)) from error
        try:
            table = plan(Store(paths.results()), asked).html()
        except HmlcoreError as error:
            said = nodes.note("", classes=["hml-awaited"])
            words = f"What the {asked} profile costs is not known: {error}."
            said += nodes.paragraph("", "", nodes.Text(words))
            return [said]
        return [nodes.raw("", table, format="html")]


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
    page.write_scripts(folder)
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
    app.add_directive("hml-explorer", HmlExplorer)
    app.add_directive("hml-plan", HmlPlan)
    app.connect("config-inited", load_numbers)
    app.connect("config-inited", collect_scripts)
    app.connect("html-page-context", drop_thebe, priority=999)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
