"""The grid as a graph: run → packed store → figures → chapters → book → paper. Rules only call `hml`.

    make reproduce PROFILE=smoke                                        this machine
    snakemake --profile experiments/profiles/slurm --config profile=full   a cluster

A rule leaves a stamp, never a result: Snakemake deletes what a rule makes before it runs it again, and results,
which `hml run` resumes, are not to be deleted. A stamp whose product is gone, or whose grid has changed, is void.

Settings (--config): profile; experiments, names separated by commas (default: all); paper, yes or no (default:
yes where a LaTeX is).
"""

import shlex
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from hmlcore import paths
from hmlcore.errors import HmlcoreError, require
from hmlcore.results import Store
from hmlcore.runner.catalogue import catalogue
from hmlcore.runner.status import states
from hmlcore.studies import experiments, experiments_named, get_experiment
from hmlcore.studies.kit.study import check_profile

PROFILE, asked = config.get("profile", "smoke"), config.get("experiments")
PAPER = config.get("paper", "yes" if any(map(shutil.which, ("latexmk", "tectonic"))) else "no")
try:
    check_profile(PROFILE)
    require(PAPER in ("yes", "no"), f"--config paper must be yes or no, got {PAPER!r}")
    NAMES = [e.name for n in str(asked).split(",") for e in experiments_named(n)] if asked else list(experiments())
    LACKING = {s.experiment for s in states(Store(paths.results()), PROFILE, NAMES) if s.word != "fresh"}
except HmlcoreError as error:
    raise WorkflowError(str(error)) from None

HML = f"{shlex.quote(str(Path(sys.executable).with_name('hml')))}"
STAMPS, BUILT = Path(f"_build/{PROFILE}/workflow"), Path(f"_build/{PROFILE}")
PRODUCTS = {
    "figures": paths.results() / PROFILE / "sources.json", "chapters": BUILT / "chapters",
    "book": BUILT / "html" / "index.html", "paper": BUILT / "paper" / "main.pdf",
}  # fmt: skip
if workflow.is_main_process and not workflow.dryrun:
    for name in [*(n for n in NAMES if n in LACKING), *(n for n, p in PRODUCTS.items() if not p.exists())]:
        (STAMPS / name).unlink(missing_ok=True)


localrules: all, figures


wildcard_constraints:
    experiment="|".join(NAMES),


rule all:
    input: STAMPS / "book", [STAMPS / "paper"] if PAPER == "yes" else []


rule run:
    output: touch(STAMPS / "{experiment}")
    params: grid=lambda found: catalogue().grids[PROFILE][found.experiment]  # another grid is run
    # What is timed has the whole machine.
    threads: lambda found: 8 if get_experiment(found.experiment).trained else workflow.resource_settings.cores or 8
    shell:
        "{HML} run {wildcards.experiment} --profile {PROFILE}"
        " && {HML} pack {wildcards.experiment} --profile {PROFILE}"
        " && {HML} status {wildcards.experiment} --profile {PROFILE} --check"


rule figures:
    input: expand(STAMPS / "{experiment}", experiment=NAMES)
    output: touch(STAMPS / "figures")
    shell: "{HML} figures --profile {PROFILE}"


rule chapters:
    input: STAMPS / "figures"
    output: touch(STAMPS / "chapters")
    shell: "{HML} book --profile {PROFILE} --chapters"


rule book:
    input: STAMPS / "chapters"
    output: touch(STAMPS / "book")
    shell: "{HML} book --profile {PROFILE}"


rule paper:
    input: STAMPS / "book"
    output: touch(STAMPS / "paper")
    shell: "{HML} paper --profile {PROFILE}"
