"""Every argument of every verb, given what means nothing: one line, exit code 2, and no work begun."""

import pytest
import torch
from bad_values import at_once

from hmlcore import cli
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.saved import save_model
from hmlcore.runner import grid  # noqa: F401, so that a verb has its two seconds for itself

pytestmark = pytest.mark.usefixtures("own_folders")

LONG = "9" * 5000
NO_INTEGER = ["", "one", "nan", "inf", "1e999", "2.5", "9" * 23, "-" + "9" * 23, LONG]
COUNT = [*NO_INTEGER, "0", "-1", "99999999999", "18446744073709551615"]
SEED = [*NO_INTEGER, "-1", "18446744073709551616"]
CHANCE = ["", "one", "nan", "inf", "1e999", "0", "-1", "2.5", LONG]
TIME = ["", "soon", "nan", "inf", "0s", "-1", "1e9", "9" * 400, LONG]
NAME = ["", "\0", "a\nb", "\ud83d", "\x1b[31m", "chess", "x" * 10_000]
FILE = ["", "a\0b", "a\nb", "x" * 300, "\ud83d", "/dev/null/x", "\x1b[31m", "loop", "y/" * 3000]
FOLDER = ["", "a\0b", "x" * 300, "\ud83d", "/dev/null/x", "file", "loop", "loop/below", "y/" * 3000]

GENERATE = ["generate", "--checkpoint=model", "--prompt=a", "--max-new=2"]
CASES = [
    (GENERATE, "--checkpoint", [*FILE, "file", "."]), (GENERATE, "--prompt", ["", "\ud83d", "a \udfff b"]),
    (GENERATE, "--max-new", COUNT), (GENERATE, "--top-k", COUNT), (GENERATE, "--seed", SEED),
    (GENERATE, "--top-p", CHANCE), (GENERATE, "--temperature", ["", "one", "nan", "inf", "1e999", "-1", LONG]),
    (["run"], "", NAME), (["run", "copy"], "--profile", NAME), (["run", "copy"], "--seeds", [*SEED, "99"]),
    (["run", "copy"], "--jobs", COUNT), (["run", "copy"], "--budget", TIME), (["run", "copy"], "--only", NAME),
    (["run", "copy"], "--only=mixer", NAME), (["run", "copy"], "--parallel", NAME),
    (["run", "copy"], "--log", NAME), (["run", "copy"], "--save-models", FOLDER),
    (["pack"], "", NAME), (["pack"], "--profile", NAME),
    (["pack", "copy"], "--with", [*FILE, "file", "."]),
    (["pack", "copy"], "--drop", NAME), (["tune"], "", NAME), (["tune", "copy"], "--profile", NAME),
    (["verify"], "", NAME), (["verify"], "--profile", NAME), (["verify"], "--sample", COUNT),
    (["verify"], "--seed", SEED), (["verify"], "--run", NAME),
    (["show"], "", NAME), (["show", "0123"], "--profile", NAME), (["bench"], "--profile", NAME),
    (["bench"], "--lengths", COUNT), (["bench"], "--only", NAME), (["bench"], "--only=mixer", NAME),
    (["figures"], "--profile", NAME), (["figures", "--profile=smoke"], "--out", FOLDER),
    (["book"], "--profile", NAME), (["paper"], "--profile", NAME), (["arxiv"], "--profile", NAME),
    (["status"], "", NAME), (["status"], "--profile", NAME), (["plan"], "", NAME),
    (["plan"], "--profile", NAME), (["plan"], "--tflops", ["", "one", "nan", "inf", "1e999", "0", "-1", LONG]),
    (["plan"], "--utilisation", CHANCE), (["explore"], "", NAME), (["ledger"], "--profile", NAME),
    (["explore", "--no-browser"], "--port", [number for number in [*COUNT, "65536"] if number != "0"]),
]  # fmt: skip


@pytest.fixture(autouse=True)
def a_folder_where_no_work_is_done(tmp_path, monkeypatch):
    def work(*_args, **_options):
        raise AssertionError("work began")

    for name in ("runner.grid.run_grid", "runner.bench.measure", "studies.export.export_all"):
        monkeypatch.setattr(f"hmlcore.{name}", work)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_model("model", Backbone(BackboneConfig(256, "gru", 8, 1, 12)))
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")


def wrong(arguments, capsys):
    """What is wrong with the answer to a command that means nothing; "" if nothing is."""
    try:
        with at_once():
            code = cli.main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    except BaseException as error:
        capsys.readouterr()
        return f"{type(error).__name__}: {str(error)[:80]}"
    out, err = capsys.readouterr()
    said = err.partition("; known: ")[0]
    if code == 2 and out == "" and err.count("\n") == 1 and err.startswith("hml: ") and len(said) < 1000:
        return "" if err.rstrip("\n").isprintable() else f"prints {err!r}"
    return f"{code}, {out[:80]!r}, {err[:200]!r}"


@pytest.mark.parametrize(
    ("command", "argument", "values"), CASES, ids=[f"{' '.join(c[:1])} {a}".strip() for c, a, _ in CASES]
)
def test_one_line(command, argument, values, capsys, monkeypatch):
    if command[0] == "figures":  # has something to draw
        monkeypatch.setattr("hmlcore.results.place.places", lambda *_: ["results"])
    answers = {
        value[:40]: wrong([*command, f"{argument}={value}" if argument else value], capsys) for value in values
    }
    assert {value: answer for value, answer in answers.items() if answer} == {}


def test_every_argument_is_asked():
    """Of every verb; switches take no value."""
    verbs = next(action.choices for action in cli._parser()._actions if action.choices)
    taken = {
        (verb, action.option_strings[0] if action.option_strings else "")
        for verb, parser in verbs.items()
        for action in parser._actions
        if action.nargs != 0
    }
    assert {(command[0], argument.partition("=")[0]) for command, argument, _ in CASES} == taken
