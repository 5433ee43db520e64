"""Studies of one's own in any folder: found and never registered; refused with the file and field to change."""

import os
import subprocess
import sys

import pytest

STUDY = """
'''What it asks.'''

from hmlcore.studies.kit.study import Experiment, Study

STUDY = Study({name!r}, "Why?", ({experiments}))
"""
GRID = """
'''Its grid; imports no torch.'''

from hmlcore.studies.kit.study import Protocol

PROTOCOLS = {{{name!r}: Protocol(lambda profile: [{{"experiment": {name!r}, "profile": profile}}])}}
"""
FIGURES = """
'''Its figures.'''

from hmlcore.studies.kit.figure import Figure

FIGURES = {{{name!r}: Figure({experiment!r}, lambda results: None, "What is seen.")}}
"""


def study(folder, name, *experiments, called=None, init=None, **modules):
    """Write a study that lies in `folder`/`name`; `modules` are further files of it."""
    (folder / name).mkdir(parents=True)
    listed = "".join(f'Experiment("{e}", "Which?"), ' for e in experiments)
    init = STUDY.format(name=called or name, experiments=listed) if init is None else init
    for module, text in {"__init__": init, **modules}.items():
        (folder / name / f"{module}.py").write_text(text, "utf-8")
    return folder


def python(code, *folders):
    """What `code` prints where HMLCORE_STUDIES names `folders`; an HmlcoreError is what it says."""
    lines = [
        "from hmlcore import studies",
        "from hmlcore.errors import HmlcoreError",
        "try:",
        *(f"    {line}" for line in code.splitlines()),
        "except HmlcoreError as error:",
        "    print(error)",
    ]
    environment = os.environ | {"HMLCORE_STUDIES": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_study_of_ones_own_is_found_and_its_grid_works(tmp_path):
    one = study(tmp_path / "one", "chess", "chess_openings", grid=GRID.format(name="chess_openings"))
    other = study(tmp_path / "other", "cards", "whist")
    code = """import sys
print(*sorted({"chess", "cards", "copy"} & studies.studies().keys()))
print([e.name for name in ("chess", "chess_openings", "cards") for e in studies.experiments_named(name)])
print(studies.study_of("chess_openings").name, studies.folder_of("chess_openings"))
print(studies.protocol("chess_openings").grid("smoke"), "torch" in sys.modules)
"""
    assert python(code, one, other).splitlines() == [
        "cards chess copy",
        "['chess_openings', 'chess_openings', 'whist']",
        f"chess {one / 'chess'}",
        "[{'experiment': 'chess_openings', 'profile': 'smoke'}] False",
    ]


def test_without_such_folders_there_are_those_of_the_package(tmp_path):
    code = "print('copy' in studies.studies(), len(studies.studies().keys() & {'chess', 'kit'}))"
    assert python(code) == "True 0"
    assert python(code, tmp_path / "nothing") == "True 0"


BAD = {
    "no STUDY": (
        lambda folder: study(folder, "chess", init="'''Nothing.'''"),
        "studies.studies()", "studies/chess/__init__.py has no STUDY",
    ),
    "no study": (
        lambda folder: study(folder, "chess", init="STUDY = 'chess'"),
        "studies.studies()", "studies/chess/__init__.py has no STUDY",
    ),
    "another name": (
        lambda folder: study(folder, "chess", "openings", called="cards"),
        "studies.studies()", "studies/chess/__init__.py: STUDY.name must be 'chess', got 'cards'",
    ),
    "no experiments": (
        lambda folder: study(folder, "chess"),
        "studies.studies()", "studies/chess/__init__.py: STUDY.experiments is empty",
    ),
    "an experiment that another study has": (
        lambda folder: study(folder, "zebra", "recall"),
        "studies.studies()",
        "studies/zebra/__init__.py: STUDY.experiments has 'recall', which study 'recall' has already",
    ),
    "the name of another study": (
        lambda folder: study(folder, "recall", "openings"),
        "studies.studies()", "two study folders are called 'recall': rename one",
    ),
    "no grid": (
        lambda folder: study(folder, "chess", "openings"),
        "studies.protocol('openings')", "studies/chess/grid.py: PROTOCOLS lacks the experiment 'openings'",
    ),
    "no protocol": (
        lambda folder: study(folder, "chess", "openings", grid=GRID.format(name="endings")),
        "studies.protocol('openings')", "studies/chess/grid.py: PROTOCOLS lacks the experiment 'openings'",
    ),
    "a figure that another study has": (
        lambda folder: study(
            folder, "zebra", "openings", figures=FIGURES.format(name="copy_heatmaps", experiment="openings")
        ),
        "from hmlcore.studies import export\nexport.figures()",
        "studies/zebra/figures.py: FIGURES has ['copy_heatmaps'], which another study uses already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_study_that_is_not_whole_is_refused_with_the_place_to_change(case, tmp_path):
    make, code, message = BAD[case]
    assert python(code, make(tmp_path / "own")) == message


def test_unknown_experiments_are_refused_with_the_known_ones(tmp_path):
    own = study(tmp_path, "chess", "openings")
    code = """for ask in (studies.get_experiment, studies.study_of, studies.protocol, studies.folder_of):
    try:
        ask("nothing")
    except HmlcoreError as error:
        print(error)"""
    printed = python(code, own).splitlines()
    assert len(printed) == 4 and len(set(printed)) == 1
    assert printed[0].startswith("unknown experiment 'nothing'; known: bakeoff, ")
    assert {"openings", "recall", "synthetic_gradient"} <= set(printed[0].partition("known: ")[2].split(", "))


def test_what_is_no_experiment_study_or_family_is_refused_with_all_of_them(tmp_path):
    own = study(tmp_path, "chess", "openings")
    printed = python("studies.experiments_named('nothing')", own)
    known = printed.removeprefix("unknown experiment 'nothing'; known: ").split(", ")
    assert {"openings", "chess", "lra", "synthetic", "gradients", "pg19"} <= set(known)
    assert known == sorted(set(known))
