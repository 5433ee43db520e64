"""The Snakefile: the graph is right, its rules only call `hml`, and Slurm is asked for what its profile says.

It is asked by Snakemake's own plugin; what answers here only writes down what it is told.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hmlcore.studies import experiments

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "experiments" / "profiles"


def snakemake(tmp_path, *arguments, config=(), **environment):
    """One run of Snakemake in a folder of its own; with ``--config`` of `config`."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(ROOT / "Snakefile"),
        "--directory",
        str(tmp_path / "work"),
    ]
    environment = os.environ | {
        "HMLCORE_HOME": str(ROOT), "HMLCORE_RESULTS": str(tmp_path / "results"),
        "XDG_CACHE_HOME": str(tmp_path),
    } | environment  # fmt: skip
    done = subprocess.run(
        [*command, *arguments, "--config", *config], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    return done.returncode, done.stdout + done.stderr


def test_the_graph_leads_from_every_experiment_to_the_paper(tmp_path):
    code, said = snakemake(tmp_path, "-n", "-p", "--cores", "2", config=("profile=laptop", "paper=yes"))
    assert code == 0, said
    counted = dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE))
    ones = dict.fromkeys(("all", "figures", "chapters", "book", "paper"), "1")
    assert counted == {**ones, "run": str(len(experiments())), "total": str(len(experiments()) + 5)}
    made = dict(re.findall(r"^rule (\w+):\n(?:    input: (.*)\n)?", said, re.MULTILINE))
    before = {rule: {Path(name).name for name in made[rule].split(", ")} for rule in ones}
    assert before == {
        "figures": set(experiments()), "chapters": {"figures"}, "book": {"chapters"}, "paper": {"book"},
        "all": {"book", "paper"},
    }  # fmt: skip
    commands = re.findall(r"^Shell command: (.*)$", said, re.MULTILINE)
    parts = [part.split() for line in commands if line != "None" for part in line.split(" && ")]
    assert len(parts) == 3 * len(experiments()) + 4
    for program, verb, *rest in parts:
        assert Path(program).name == "hml" and verb in ("run", "pack", "status", "figures", "book", "paper")
        assert rest[rest.index("--profile") + 1] == "laptop"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("profile=huge", "unknown profile 'huge'; known: full, laptop, smoke"),
        ("experiments=copy,chess", "unknown experiment 'chess'; known: "),
        ("paper=maybe", "--config paper must be yes or no, got 'maybe'"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_made(tmp_path, config, message):
    code, said = snakemake(tmp_path, "-n", "--cores", "1", config=(config,))
    assert code != 0 and message in said and "Traceback" not in said
    assert not (tmp_path / "results").exists()


def program(folder, name, lines):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{lines}\n", "utf-8")
    (folder / name).chmod(0o755)


def test_slurm_is_asked_for_what_the_profile_says(tmp_path):
    """`sbatch` refuses here, after writing down what it was asked."""
    asked, own = tmp_path / "asked", tmp_path / "bin"
    program(own, "sbatch", f'printf "%s\\n" "$@" > {asked}; exit 1')
    for name in ("sacct", "squeue", "sinfo", "sacctmgr", "scontrol"):
        program(own, name, "echo gpu")
    code, said = snakemake(
        tmp_path, "--profile", str(PROFILES / "slurm"), "--retries", "0",
        config=("profile=full", "experiments=copy", "paper=no"), PATH=f"{own}:{os.environ['PATH']}",
    )  # fmt: skip
    assert code != 0 and "sbatch failed" in said
    words = asked.read_text("utf-8").splitlines()
    settings = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text("utf-8"))
    assert words[words.index("-t") + 1] == str(settings["default-resources"]["runtime"])
    assert words[words.index("--mem") + 1] == str(settings["default-resources"]["mem_mb"])
    assert {"--gpus=1", "--cpus-per-task=8"} <= set(words)
    (wrapped,) = [word for word in words if word.startswith("--wrap=")]
    assert "--target-jobs 'run:experiment=copy'" in wrapped and "'profile=full'" in wrapped
    assert not (tmp_path / "work" / "_build" / "full" / "workflow" / "copy").exists()


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_a_profile_asks_for_nothing_that_snakemake_or_its_plugin_does_not_know(name):
    from snakemake.cli import get_argument_parser

    known = get_argument_parser()._option_string_actions
    profile = yaml.safe_load((PROFILES / name / "config.yaml").read_text("utf-8"))
    assert profile["executor"] == name and [key for key in profile if f"--{key}" not in known] == []
