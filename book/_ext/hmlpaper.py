"""The book's Sphinx extension for what is claimed: verdicts out of the store, the ledger, the paper's pages.

`HMLCORE_BOOK_PAPER` names the PDF that `hml paper` made, if it did.
"""

import os
from pathlib import Path

import pandas as pd
from docutils import nodes
from hmlbook import profile, read, store
from sphinx.util.docutils import SphinxDirective

from hmlcore import paths
from hmlcore.figures.tables import render
from hmlcore.paper.claimed import claims_table
from hmlcore.paper.pages import page_images
from hmlcore.paper.verdicts import WAITS, Decided
from hmlcore.results import Store
from hmlcore.runner import ledger
from hmlcore.studies.holographic.checklist import checklist
from hmlcore.studies.sparse.capabilities import capabilities


class HmlClaims(SphinxDirective):
    """``{hml-claims} NAME``: the claims of an experiment or study with verdict and evidence; without a name,
    how many of every study's claims are confirmed, refuted, undecided or not measured yet."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(store() / "claims.json"))
        decided = [Decided(**entry) for entry in read("claims.json").get("claims", [])]
        table = claims_table(self.arguments[0] if self.arguments else "", decided, profile())
        return [nodes.raw("", table.html, format="html")]


class HmlLedger(SphinxDirective):
    """``{hml-ledger}``: the versions of the sparse memory with verdict and date, and the criteria, ticked."""

    def run(self) -> list[nodes.Node]:
        for name in ledger.READ:
            self.env.note_dependency(str(store() / f"{name}.parquet"))
        found, ticked = ledger.read(Store(paths.results()), profile())
        marks = {True: "☑", False: "☐", None: f"☐ {WAITS}"}
        boxes = [{"criterion": c.criterion, "met": marks[c.met], "measured": c.measured} for c in ticked]
        note = f"{profile()} profile · {ledger.summary(found)}"
        tables = render(pd.DataFrame(found), note=note), render(pd.DataFrame(boxes))
        return [nodes.raw("", table.html, format="html") for table in tables]


class HmlCapabilities(SphinxDirective):
    """``{hml-capabilities} NAME``: what a memory was asked to do, where it is, and what came of it.

    NAME is `sparse`, or `holographic`. The page says it and not a cell: claims are decided only once all
    chapters are executed.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(store() / "claims.json"))
        decided = [Decided(**entry) for entry in read("claims.json").get("claims", [])]
        said = {entry.name: entry.standing.beside(entry.verdict) for entry in decided}
        if self.arguments[0] == "holographic":
            table = checklist({entry.name: f"{said[entry.name]}, {entry.evidence}" for entry in decided})
        else:
            self.env.note_dependency(str(store() / "sparse_ladder.parquet"))
            table = capabilities(said, ledger.read(Store(paths.results()), profile())[0])
        return [nodes.raw("", render(table, note=f"{profile()} profile").html, format="html")]


class HmlPaper(SphinxDirective):
    """``{hml-paper}``: the paper's pages as pictures with a link to the PDF; where it was not built, that."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        pdf = Path(os.environ.get("HMLCORE_BOOK_PAPER", ""))
        if not pdf.is_file():
            said = nodes.note("", classes=["hml-awaited"])
            said += nodes.paragraph(
                "", "", nodes.Text("The paper was not built for these pages, so there are no pictures of it: "),
                nodes.literal("", f"hml paper --profile {profile()}"), nodes.Text(" before "),
                nodes.literal("", f"hml book --profile {profile()}"), nodes.Text(" puts them here."),
            )  # fmt: skip
            return [said]
        pages = page_images(pdf)
        folder = Path(self.env.app.doctreedir) / "hml-static" / "paper"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.pdf").write_bytes(pdf.read_bytes())
        up = "../" * self.env.docname.count("/")
        shown = []
        for number, image in enumerate(pages, 1):
            (folder / f"page-{number}.png").write_bytes(image)
            address = f"{up}_static/paper/page-{number}.png"
            alt = f"Page {number} of the paper"
            shown.append(f'<a href="{address}"><img src="{address}" alt="{alt}" loading="lazy"></a>')
        link = f'<p><a href="{up}_static/paper/main.pdf">The paper</a>, {len(pages)} pages:</p>'
        return [nodes.raw("", f'{link}<div class="hml-pages">{"".join(shown)}</div>', format="html")]


def setup(app) -> dict:
    app.add_directive("hml-claims", HmlClaims)
    app.add_directive("hml-ledger", HmlLedger)
    app.add_directive("hml-capabilities", HmlCapabilities)
    app.add_directive("hml-paper", HmlPaper)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
