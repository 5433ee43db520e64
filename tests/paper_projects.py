"""A project with a paper in a folder of its own, and a latexmk that is none."""

import shutil
import stat
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = r"""\documentclass{article}
\usepackage{booktabs,graphicx,hyperref}
\newcommand{\hmlfigure}[1]{\input{generated/figure-#1}}
\newcommand{\hmltable}[1]{\input{generated/table-#1}}
\newcommand{\hmlverdicts}[1]{\input{generated/verdicts-#1}}
\newcommand{\hmlrules}[1]{\input{generated/rules-#1}}
\newcommand{\hmlstatus}[1]{\csname hml@status@#1\endcsname}
\newcommand{\hmlvalue}[1]{\csname hml@value@#1\endcsname}
\newcommand{\hmlfit}[1]{#1}
\newcommand{\hmlnote}[1]{#1}
\input{generated/values}
\sloppy\hbadness10000
\begin{document}
\cite{vaswani2017attention} \hmlvalue{rule-margin} \hmlstatus{fair} % \hmltable{no_such_table}
\hmlverdicts{fair}
\hmlrules{fair}
\hmltable{fair_verdicts}
\hmlfigure{fair_scoreboard}
MORE
\newpage a\newpage b\newpage c
\label{end-of-main-text}
\bibliographystyle{plain}
\bibliography{references}
\end{document}
"""
_FAKE = r"""#!{python}
import os, pathlib, re, sys
text = pathlib.Path("main.tex").read_text()
lacking = [n for n in re.findall(r"usepackage.own.", text) if not pathlib.Path("own.sty").is_file()]
log = os.environ.get("FAKE_LOG", "") + "! LaTeX Error: File `own.sty' not found.\n" * len(lacking)
pathlib.Path("main.log").write_text(log)
pages = os.environ.get("FAKE_PAGES", "5")
pathlib.Path("main.aux").write_text(r"\newlabel{end-of-main-text}{{7}{" + pages + r"}{Seven}{section.7}{}}")
if "-bibtex-" not in sys.argv and "FAKE_NO_BBL" not in os.environ:
    pathlib.Path("main.bbl").write_text("references")
if "FAKE_STORE" in os.environ:
    pathlib.Path(os.environ["FAKE_STORE"]).write_text("a run")
if not log.startswith("!"):
    pathlib.Path("main.pdf").write_bytes(b"%PDF")
"""


def paper_project(folder: Path, source: str | None = SMALL, more: str = "") -> Path:
    """A project in `folder` whose paper is `source` with `more` in it, or the real one where that is None."""
    (folder / "book").mkdir(parents=True)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    (folder / "pyproject.toml").write_text("[project]\nname = 'hmlcore'\n")
    (folder / "paper").mkdir()
    text = (ROOT / "paper" / "main.tex").read_text("utf-8") if source is None else source
    (folder / "paper" / "main.tex").write_text(text.replace("MORE", more), "utf-8")
    return folder


def fake_latexmk(folder: Path) -> Path:
    """A folder for the path, with a latexmk that writes what ``FAKE_LOG`` and ``FAKE_PAGES`` say."""
    folder.mkdir()
    script = folder / "latexmk"
    script.write_text(_FAKE.replace("{python}", sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder
