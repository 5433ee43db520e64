"""What compiles the paper: latexmk or tectonic, whichever is on the path."""

import os
import shutil
import subprocess
from pathlib import Path

from hmlcore.errors import HmlcoreError

NEEDED = (
    "the paper is compiled by latexmk or tectonic, and neither is on the path; on Debian: apt-get install "
    "--no-install-recommends texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended "
    "texlive-bibtex-extra latexmk; with conda: conda install -c conda-forge tectonic"
)
_MAIN = "main.tex"
# Lines of the log stay whole, and equal sources make equal files.
_ENVIRONMENT = {"max_print_line": "100000", "SOURCE_DATE_EPOCH": "946684800", "FORCE_SOURCE_DATE": "1"}


def find_engine() -> str:
    """The path of latexmk, else of tectonic. Raises: HmlcoreError naming packages where there is neither."""
    found = shutil.which("latexmk") or shutil.which("tectonic")
    if found is None:
        raise HmlcoreError(NEEDED)
    return found


def compile_paper(engine: str, folder: Path, *, bibliography: bool = True) -> str:
    """Compile ``main.tex`` in `folder`, beside which everything is written that comes of it; the log.

    Args: bibliography, whether ``main.bbl`` is made; else it is there and is taken as it is.
    """
    if Path(engine).stem == "latexmk":
        commands = [[engine, "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error", _MAIN]]
        if not bibliography:
            commands[0].insert(-1, "-bibtex-")
    elif bibliography:
        commands = [[engine, "--keep-logs", "--keep-intermediates", _MAIN]]
    else:  # a pass of it, until references are known
        commands = [[engine, "--keep-logs", "--keep-intermediates", "--pass", "tex", _MAIN]] * 3
    said = ""
    for command in commands:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | _ENVIRONMENT, encoding="utf-8", errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said = done.stdout
    log = folder / "main.log"
    return log.read_text("utf-8", errors="replace") if log.is_file() else said
