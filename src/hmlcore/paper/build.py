"""From the paper's source and the store to a PDF, and to the bundle that a preprint server takes.

    paper/main.tex ─ asked ─► generated/ ─ latexmk ─► main.pdf ─ review
    book/references.bib ─┘                     └────► arxiv.tar.gz, compiled again alone

Everything is written below ``_build/<profile>``, and only what was written there before is written over.
"""

import gzip
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from hmlcore import paths
from hmlcore.book import workspace
from hmlcore.errors import HmlcoreError, require
from hmlcore.files import write_file
from hmlcore.keys import code_key, files_below, hash_of
from hmlcore.manifest import Manifest
from hmlcore.paper import review
from hmlcore.paper.asked import asked_by
from hmlcore.paper.engine import compile_paper, find_engine
from hmlcore.paper.generated import generate
from hmlcore.results import Store
from hmlcore.results.provenance import source_revision
from hmlcore.studies.kit.study import check_profile

BUNDLE = "arxiv.tar.gz"
"""What `hml arxiv` writes."""


def build_paper(profile: str = "laptop") -> Path:
    """Make what the paper shows from the results at `profile`, compile it and return ``main.pdf``.

    What was made is made again only when the store, the code or the source has changed.

    Raises: HmlcoreError, in one message, where nothing compiles it, LaTeX fails, or the paper is not as it must
        be: a citation or reference leads nowhere, a box sticks out, the main text is too long or too short, a
        file that it reads was not made from the store as it is now. What LaTeX made lies there all the same.
    """
    check_profile(profile)
    engine, main = find_engine(), _source("paper/main.tex")
    made = Manifest(workspace(profile))
    folder = made.folder / "paper"
    key = _key(profile)
    with tempfile.TemporaryDirectory() as place:
        stage = Path(place)
        for name, content in _generated(main, folder, profile, key).items():
            write_file(stage / name, content, durable=False)
        for source in (main, _source("book/references.bib")):
            shutil.copy(source, stage)
        log = compile_paper(engine, stage)
        made.replace("paper", stage)
    pdf = folder / "main.pdf"
    if not pdf.is_file():
        raise HmlcoreError(
            f"the paper does not compile: {'; '.join(review.failure(log))}; {folder / 'main.log'}"
        )
    found = faults(profile, log)
    require(not found, f"{pdf} is not as a paper must be: {'; '.join(found)}")
    return pdf


def faults(profile: str, log: str | None = None) -> list[str]:
    """What is not as it must be about the paper that lies built: see :func:`build_paper`.

    Args: log, of its compilation; what lies beside it if None.
    """
    folder = workspace(profile) / "paper"
    if not (folder / "main.tex").is_file():
        return [f"stale: the source that it was made from is not in {folder}; run hml paper again"]
    said = {name: (folder / name).read_text("utf-8", errors="replace") for name in ("main.log", "main.aux")
            if (folder / name).is_file()}  # fmt: skip
    log = said.get("main.log", "") if log is None else log
    in_text = [*review.in_log(log), *review.in_length(said.get("main.aux", ""))]
    return [*in_text, *review.in_freshness(folder, _key(profile))]


def pack_bundle(profile: str = "laptop") -> Path:
    """Build the paper, pack what its compilation reads, and compile that alone; the ``arxiv.tar.gz``.

    Same paper, same bytes. Raises: HmlcoreError as :func:`build_paper`, and where the bundle lacks a file.
    """
    pdf = build_paper(profile)
    folder, work = pdf.parent, Manifest(pdf.parents[1])
    names = ["main.tex", "main.bbl", *review.all_read(folder)]
    lacking = [name for name in names if not (folder / name).is_file()]
    require(not lacking, f"the bundle lacks {', '.join(lacking)}, which the paper reads")
    packed = _packed({name: (folder / name).read_bytes() for name in names})
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(fileobj=io.BytesIO(packed)) as bundle:
            bundle.extractall(place, filter="data")
        log = compile_paper(find_engine(), Path(place), bibliography=False)
        whole = (Path(place) / "main.pdf").is_file()
    missing, found = review.missing_files(log), review.in_log(log)
    require(not missing, f"the bundle lacks {', '.join(missing)}, which main.tex reads: LaTeX found it by luck")
    require(whole, f"the bundle does not compile alone: {'; '.join(review.failure(log))}")
    require(not found, f"the bundle alone is not the paper: {'; '.join(found)}")
    work.claim(BUNDLE)
    write_file(work.folder / BUNDLE, packed)
    return work.folder / BUNDLE


def _source(name: str) -> Path:
    path = paths.project() / name
    require(path.is_file(), f"there is no {path}, of which the paper is made")
    return path


def _key(profile: str) -> str:
    """Hash of all that the generated files are made of: the store, the code, and what Git says of rules."""
    store = paths.results() / profile
    sources = [_source("paper/main.tex"), *files_below(store, "*.parquet")]
    return hash_of(code_key(), str(source_revision()), profile, *sources)


def _generated(main: Path, folder: Path, profile: str, key: str) -> dict[str, str | bytes]:
    """Every generated file and the record of them; those below `folder` where they are still right."""
    if review.is_intact(folder, key):
        print("figures and tables: up to date", flush=True)
        content = {name: (folder / name).read_bytes() for name in review.recorded(folder)[1]}
    else:
        print("figures and tables: drawing from the store", flush=True)
        content = generate(asked_by(main.read_text("utf-8")), Store(paths.results()), profile)
    return content | {review.RECORD: review.record_of(key, content)}


def _packed(files: dict[str, bytes]) -> bytes:
    """A gzipped tar of `files`, without times and owners."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as bundle:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            bundle.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
