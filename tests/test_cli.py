"""The commands as a reader types them: help, refusals, exit codes, Ctrl-C."""

import os
import re
import subprocess
import sys
import time

import pytest
import torch
from made_up import provenance

from hmlcore import cli, paths
from hmlcore.arguments import duration, fields_of
from hmlcore.layers import MIXERS
from hmlcore.models import Backbone, BackboneConfig, Classifier
from hmlcore.models.generation import generate
from hmlcore.models.saved import load_model, save_model
from hmlcore.ops import backend
from hmlcore.results import Run, Store
from hmlcore.runner import Outcome
from hmlcore.runner.catalogue import catalogue
from hmlcore.runner.demand import demands
from hmlcore.studies import experiments, protocol, studies
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.rotors.grid import PROTOCOLS
from hmlcore.tasks import TASKS

VERBS = (
    "list", "status", "plan", "run", "pack", "tune", "generate", "verify", "show", "bench", "figures", "book",
    "paper", "arxiv", "explore", "ledger", "doctor",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)


def hml(*arguments):
    """Exit code of one command, in this process."""
    try:
        return cli.main(list(arguments))
    except SystemExit as stopped:
        return stopped.code


def made_up_run(spec):
    return Run(spec, provenance(), [{"metric": "accuracy", "value": 0.5, "n": 2}])


def test_help_names_every_command(capsys):
    assert hml("--help") == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^    {verb} +\w", out, re.MULTILINE) for verb in VERBS)
    assert "smoke" in out and "laptop" in out and "full" in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(verb, capsys):
    assert hml(verb, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: hml {verb}")
    options = re.findall(r"^  (--[a-z-]+|[A-Z]+)", out, re.MULTILINE)
    described = re.findall(r"^  (?:--[a-z-]+|[A-Z]+).*?\s{2,}\S", out, re.MULTILINE | re.DOTALL)
    assert len(options) == len(described)


def test_help_of_run_shows_an_example_that_parses(capsys):
    hml("run", "--help")
    example = re.search(r"Example: hml (run .*? --jobs \d)", " ".join(capsys.readouterr().out.split()))[1]
    options = cli._parser().parse_args(example.split())
    assert (options.experiment, options.profile, options.jobs, options.budget) == ("copy", "laptop", 2, 540)
    assert fields_of(options.only) == {"mixer": ["hml", "attention"]} and options.seeds == [0, 1, 2]


def test_the_version(capsys):
    assert hml("--version") == 0
    assert capsys.readouterr().out.startswith("hmlcore ")


NO_PROFILE = "unknown profile 'huge'; known: full, laptop, smoke"
NO_EXPERIMENT = "unknown experiment 'chess'; known: .*bakeoff, .*copy, .*recall"
ASK = ["generate", "--checkpoint", "no/such/file", "--prompt", "a"]
NO_FAMILY = "unknown experiment 'chess'; known: .*bakeoff, .*copy, .*lra, .*lra_text, .*recall"
BAD = {
    "no command": ([], "required: COMMAND"),
    "unknown command": (["train"], "invalid choice: 'train' .*list.*run.*verify.*figures.*book.*doctor"),
    "unknown option": (["list", "--fast"], "unrecognized arguments: --fast"),
    "run what": (["run"], "required: EXPERIMENT"),
    "unknown experiment": (["run", "chess"], NO_FAMILY),
    "unknown profile": (["run", "copy", "--profile", "huge"], NO_PROFILE),
    "unknown mixer": (
        ["run", "copy", "--only", "mixer=hml,lstm"],
        "unknown mixer in --only 'lstm'; known: attention, gru, hml",
    ),
    "unknown field": (["run", "copy", "--only", "size=3"], "unknown field in --only 'size'; known: d_mo.*seed"),
    "no field": (["run", "copy", "--only", "hml"], r"--only takes FIELD=VALUE\[,VALUE...\], got 'hml'"),
    "no value": (["run", "copy", "--only", "mixer="], "--only takes FIELD=VALUE.*got 'mixer='"),
    "seed not in the grid": (["run", "copy", "--seeds", "0", "99"], r"seed 99 is not in .*known: \[0, 1, 2\]"),
    "seed that is no number": (["run", "copy", "--seeds", "one"], "--seeds: invalid int value: 'one'"),
    "budget of nothing": (["run", "copy", "--budget", "0m"], "--budget: '0m' is no duration above 0"),
    "budget without sense": (["run", "copy", "--budget", "soon"], "'soon' is no duration above 0, such as 90s"),
    "no processes": (["run", "copy", "--jobs", "0"], "--jobs must be at least 1, got 0"),
    "less than none": (["run", "copy", "--jobs", "-2"], "--jobs must be at least 1, got -2"),
    "processes by word": (["run", "copy", "--jobs", "many"], "--jobs: invalid int value: 'many'"),
    "unknown tracker": (
        ["run", "copy", "--log", "paper"],
        "unknown tracker in --log 'paper'; known: tensorboard, terminal, trackio, wandb",
    ),
    "generate from what": (["generate", "--prompt", "a"], "required: --checkpoint"),
    "generate after what": (["generate", "--checkpoint", "file"], "required: --prompt"),
    "generate from nothing": (ASK, "there is no model no/such/file"),
    "temperature below 0": ([*ASK, "--temperature", "-1"], "temperature must be at least 0 .*, got -1.0"),
    "no byte kept": ([*ASK, "--top-k", "0"], "top_k must be at least 1, got 0"),
    "more than all bytes": ([*ASK, "--top-p", "1.5"], "top_p must be above 0 and at most 1, got 1.5"),
    "seed of a word": ([*ASK, "--seed", "one"], "--seed: invalid int value: 'one'"),
    "nothing in a family": (["run", "lra", "--only", "mixer=no"], "unknown mixer in --only 'no'; known: "),
    "verify an empty store": (["verify", "--profile", "smoke"], "sample = 3, but profile 'smoke' has 0 runs"),
    "status of the unknown": (["status", "chess"], NO_EXPERIMENT),
    "status of a profile": (["status", "--profile", "huge"], NO_PROFILE),
    "plan of a profile": (["plan", "--profile", "huge"], NO_PROFILE),
    "a GPU that does nothing": (["plan", "--tflops", "0"], "--tflops must be above 0.*, got 0.0"),
    "more than the GPU can do": (["plan", "--utilisation", "2"], "--utilisation must be .*1.*, got 2.0"),
    "plan of what is not trained": (["plan", "copy"], "no training of attention is stored in "),
    "verify nothing": (["verify", "--sample", "0"], "sample must be at least 1, got 0"),
    "verify the unknown": (["verify", "chess"], NO_EXPERIMENT),
    "verify a profile": (["verify", "--profile", "huge"], NO_PROFILE),
    "tune what": (["tune"], "required: EXPERIMENT"),
    "tune what has no rates": (["tune", "speed"], "experiment 'speed' has no criterion: it tunes nothing"),
    "tune without results": (["tune", "copy"], "no results of 'copy' at profile 'laptop' .*hml run copy --pro"),
    "show what": (["show"], r"required: HASH\|CLAIM"),
    "show nothing that is stored": (["show", "0123abcd"], "no run '0123abcd' in "),
    "show an unknown claim": (["show", "copy.chess"], "unknown run or claim 'copy.chess'; known: copy.load_n"),
    "pack two with others": (["pack", "copy", "recall", "--drop", "0123"], "--with and --drop take one exp"),
    "figures of nothing": (["figures"], "no results at profile 'laptop' in .*; make some with: hml run EXP"),
    "figures of a profile": (["figures", "--profile", "huge"], NO_PROFILE),
    "ledger of a profile": (["ledger", "--profile", "huge"], NO_PROFILE),
    "book of a profile": (["book", "--profile", "huge"], NO_PROFILE),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, capsys):
    arguments, message = BAD[case]
    assert hml(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"hml: .*{message}.*\n", err), err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("warp", "unknown backend in HMLCORE_BACKEND 'warp'"),
        ("gru=chunk", "unknown backend of op 'gru' 'chunk'"),
    ],
)
def test_a_wrong_backend_is_refused(setting, message, capsys, monkeypatch):
    monkeypatch.setenv("HMLCORE_BACKEND", setting)
    assert hml("doctor") == 2
    assert re.fullmatch(rf"hml: {message}; known: .*\n", capsys.readouterr().err)


def test_a_corrupt_result_is_one_line(own_folders, capsys):
    file = own_folders / "results" / "smoke" / "copy" / "0123456789abcdef.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"broken")
    assert hml("verify", "copy", "--profile", "smoke", "--sample", "1") == 2
    err = capsys.readouterr().err
    assert str(file) in err and "delete it" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("9m", 540), ("1.5h", 5400), ("0.5s", 0.5)]
)
def test_durations(text, seconds):
    assert duration(text) == seconds


def test_only_gathers_fields():
    assert fields_of(["mixer=hml,gru", "lr=0.003", "mixer=attention"]) == {
        "mixer": ["hml", "gru", "attention"],
        "lr": ["0.003"],
    }


def test_list_shows_names_and_counts(own_folders, capsys):
    grid = protocol("copy").grid("smoke")
    store = Store(own_folders / "results")
    for spec in grid[:2]:
        store.write(made_up_run(spec))
    store.write(made_up_run(grid[0] | {"seed": 99}))  # no longer in the grid
    assert hml("list") == 0
    out = capsys.readouterr().out
    for name in (*MIXERS, *TASKS):
        assert re.search(rf"^  {name} +\w", out, re.MULTILINE)
    for study in studies().values():
        assert f"  {study.name}: {study.question}\n" in out
    for name in experiments():
        assert re.search(rf"^    {name} +\d", out, re.MULTILINE)
    (line,) = [x for x in out.splitlines() if x.startswith("    copy ") and " runs" in x]
    laptop, full = (len(protocol("copy").grid(p)) for p in ("laptop", "full"))
    assert re.findall(r"(\d+)/(\d+) runs", line) == [
        ("2", str(len(grid))),
        ("0", str(laptop)),
        ("0", str(full)),
    ]


@pytest.mark.parametrize(
    "ask",
    [
        ["list"], ["status"], ["plan"], ["show", "copy.load_not_lag"], ["pack"], ["run", "--help"],
        ["arxiv", "--help"], ["run", "nothing"], ["verify", "nothing"],
    ],
)  # fmt: skip
def test_what_trains_nothing_takes_no_time(ask, own_folders, monkeypatch):
    """Less than two seconds of processor time; the catalogue and what grids ask, once for all that follow,
    a little more."""
    monkeypatch.setenv("HMLCORE_CACHE", str(own_folders / "cache"))
    if ask in (["list"], ["status"]):
        before = time.process_time()
        catalogue()
        assert time.process_time() - before < 10  # 49, where every grid built its models to count their numbers
    if ask == ["plan"]:
        before = time.process_time()
        demands("full")
        assert time.process_time() - before < 10
    environment = os.environ | {"HMLCORE_RESULTS": str(paths.root() / "results")}
    if ask == ["pack"]:
        environment |= {"HMLCORE_RESULTS": str(own_folders / "results")}
    code = "import atexit, time; from hmlcore import cli; atexit.register(lambda: print(time.process_time()));"
    code += f"cli.main({ask})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and float(done.stdout.split()[-1]) < 2, done.stdout[-300:] + done.stderr


def test_run_makes_what_is_missing_and_says_so(own_folders, capsys):
    store = Store(own_folders / "results")
    wanted = ("--only", "mixer=gru,hml", "--seeds", "1", "--jobs", "1")
    gru, hml_ = (s for s in protocol("copy").grid("smoke") if s["seed"] == 1 and s["mixer"] != "attention")
    store.write(made_up_run(hml_))
    assert hml("run", "copy", *wanted) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["copy, smoke profile: 2 runs, 1 at a time", "1 made, 1 already stored"]
    assert "Traceback" not in err and store.has(gru)
    assert hml("run", "copy", *wanted) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 made, 2 already stored"


@pytest.fixture
def asked(monkeypatch):
    """Instead of making runs: what `hml run` asked for."""
    calls = []

    def noted(specs, _store, **options):
        calls.append((specs, options))
        return Outcome(made=["all"])

    monkeypatch.setattr("hmlcore.runner.grid.run_grid", noted)
    return calls


def test_a_family_is_all_of_its_experiments(asked, monkeypatch, capsys):
    """A choice that one member lacks leaves it out; it is an error only where none has it."""
    lists = [s | {"experiment": "rotor_starts"} for s in protocol("portraits").grid("smoke")]
    other = [s | {"experiment": "rotor_towers", "seed": s["seed"] + 2} for s in protocol("copy").grid("smoke")]
    for name in PROTOCOLS:
        own = [s for s in lists + other if s["experiment"] == name]
        monkeypatch.setitem(PROTOCOLS, name, Protocol(lambda _, own=own: own))
    for options, wanted in (
        ([], lists + other),
        (["--only", "task=listops"], lists),
        (["--only", "task=listops,copy", "mixer=gru"], [s for s in lists + other if s["mixer"] == "gru"]),
        (["--only", "max_depth=3"], [s for s in lists if s["train"][0]["max_depth"] == 3]),
        (["--only", "payload=4"], [s for s in other if s["train"][0]["payload"] == 4]),
        (["--seeds", "0", "4"], [s for s in lists if s["seed"] == 0] + [s for s in other if s["seed"] == 4]),
    ):
        assert hml("run", "rotors", *options) == 0
        assert wanted and asked[-1][0] == wanted, options
        first = capsys.readouterr().out.splitlines()[0]
        assert first.startswith(f"rotors, smoke profile: {len(wanted)} runs, ")
    assert hml("run", "rotors", "--only", "task=listops,chess") == 2
    assert hml("run", "rotors", "--only", "task=copy", "max_depth=3") == 2
    known = "copy, expressions, listops"
    assert capsys.readouterr().err.startswith(f"hml: unknown task in --only 'chess'; known: {known}\n")


def test_a_tracker_is_asked_for_by_name_and_refused_before_work(asked, monkeypatch, capsys):
    assert hml("run", "copy") == 0 and asked[-1][1]["log"] is None
    assert hml("run", "copy", "--log", "terminal") == 0 and asked[-1][1]["log"] == "terminal"
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert hml("run", "copy", "--log", "wandb") == 2 and len(asked) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"hml: --log wandb needs the package 'wandb'.*hmlcore\[log\]\n", err)


def test_models_are_kept_where_they_are_asked_for(asked, tmp_path, capsys):
    assert hml("run", "copy") == 0 and asked[-1][1]["save_models"] is None
    assert hml("run", "copy", "--save-models", str(tmp_path / "m")) == 0
    assert asked[-1][1]["save_models"] == tmp_path / "m"
    (tmp_path / "file").write_text("")
    capsys.readouterr()
    assert hml("run", "copy", "--save-models", str(tmp_path / "file")) == 2 and len(asked) == 2
    assert re.fullmatch(r"hml: --save-models takes a folder, and .*file is a file\n", capsys.readouterr().err)


def saved_model(folder, vocabulary=256, **labels):
    torch.manual_seed(0)
    config = BackboneConfig(vocabulary, "gru", 8, 1, 12)
    save_model(folder / "model", Classifier(config, **labels) if labels else Backbone(config))
    return str(folder / "model")


def test_generate_prints_what_follows_and_a_seed_repeats_it(tmp_path, capsys):
    ask = ["generate", "--checkpoint", saved_model(tmp_path), "--prompt", "Once", "--max-new", "40"]
    texts = []
    for options in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"], [], [], ["--temperature", "0"]):
        assert hml(*ask, *options) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and len(set(texts)) == 5
    model, _ = load_model(tmp_path / "model")
    prompt = torch.tensor([list(b"Once")])
    new = generate(model, prompt, 40, generator=torch.Generator().manual_seed(1))
    assert texts[0] == bytes(new[0].tolist()).decode("utf-8", "replace") + "\n"


def test_generate_refuses_what_cannot_continue_a_text(tmp_path, capsys):
    for file, prompt, message in (
        (saved_model(tmp_path), "", "prompt is empty; at least one character is needed"),
        (saved_model(tmp_path / "words", 300), "a", "a prompt of text needs a model of bytes, .* has 300"),
        (saved_model(tmp_path / "labels", classes=2), "a", "only a Backbone generates, .* a Classifier"),
    ):
        assert hml("generate", "--checkpoint", file, "--prompt", prompt) == 2
        out, err = capsys.readouterr()
        assert out == "" and re.fullmatch(rf"hml: {message}\n", err), err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_terminal_follows_runs_in_any_process(jobs, own_folders, capfd):
    seeds = ("0", "1")
    assert (
        hml("run", "copy", "--only", "mixer=gru", "--seeds", *seeds, "--jobs", jobs, "--log", "terminal") == 0
    )
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == "2 made, 0 already stored"
    steps = next(s["steps"] for s in protocol("copy").grid("smoke") if s["mixer"] == "gru")
    for seed in seeds:
        lines = [x for x in err.splitlines() if re.match(rf"copy gru .*seed={seed}  step \d", x)]
        assert len(lines) >= 2 and f"  step {steps}  loss " in lines[-1]
        assert all(re.search(r"accuracy \d\.\d+  [\d,]+ tokens/s", x) for x in lines)


def test_a_grid_that_fails_is_one_line_an_error_and_exit_code_1(own_folders, capsys, monkeypatch):
    monkeypatch.setenv("HMLCORE_DATA", str(own_folders / "nothing"))
    assert hml("run", "pg19", "--profile", "laptop", "--only", "mixer=gru", "--jobs", "1") == 1
    out, err = capsys.readouterr()
    runs = sum(s["mixer"] == "gru" for s in protocol("pg19").grid("laptop"))
    assert out.splitlines()[-1] == f"0 made, 0 already stored, {runs} failed"
    assert re.fullmatch(rf"hml: {runs} runs failed \(pg19 gru .* first\): HMLCORE_DATA=.* lacks .*\n", err)


def test_a_budget_that_ends_says_how_to_go_on(capsys):
    assert hml("run", "copy", "--budget", "0.02s", "--only", "mixer=hml", "--jobs", "1") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("0 made, 0 already stored") and "not started" in out[-2]
    assert out[-1] == "the same command resumes what was paused and starts what is left"


def test_doctor_passes_here(capsys, monkeypatch):
    assert hml("doctor") == 0
    out = capsys.readouterr().out
    for op in backend.ops():
        form = backend.choose(op, "cpu").form.name
        # A form that only moves numbers is the law to the bit.
        exact = form == "naive" or op == "sparse_write"
        error = r"0\.0e\+00" if exact else r"\d\.\de-\d\d"
        assert re.search(rf"^  {op} +{form} +ok {error} ", out, re.MULTILINE)
    assert "all self-checks passed" in out and re.search(r"^  torch +2\.", out, re.MULTILINE)
    monkeypatch.setenv("HMLCORE_BACKEND", "naive")
    assert hml("doctor") == 0
    out = capsys.readouterr().out
    assert re.search(r"^  hamiltonian +naive +ok 0\.0e\+00 +HMLCORE_BACKEND=naive$", out, re.MULTILINE)


def test_doctor_says_which_op_is_wrong(capsys, monkeypatch):
    form = backend.choose("gru", "cpu").form

    def wrong(x, weights, state=None):
        y, last = form.function(x, weights, state)
        return y * 1.01, last

    forms = [form._replace(function=wrong), *backend._FORMS["gru"][1:]]
    monkeypatch.setitem(backend._FORMS, "gru", forms)
    assert hml("doctor") == 1
    out = capsys.readouterr().out
    assert re.search(r"^  gru +torch +WRONG", out, re.MULTILINE) and out.count("WRONG") == 1
    assert "a self-check FAILED" in out


def test_a_full_disk_is_one_line(capsys, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device", "results")

    monkeypatch.setattr("hmlcore.runner.grid.run_grid", full)
    assert hml("run", "copy") == 1
    assert capsys.readouterr().err == "hml: the disk is full (results); finished runs are in the store\n"


def test_too_little_memory_is_one_line(capsys, monkeypatch):
    def large(*_args, **_options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes\nat C++")

    monkeypatch.setattr("hmlcore.runner.grid.run_grid", large)
    assert hml("run", "copy") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hml: there is not enough memory (") and "you tried to allocate 9 bytes)" in line
    monkeypatch.setattr(
        "hmlcore.runner.grid.run_grid", lambda *_args, **_options: torch.ones(2) @ torch.ones(3)
    )
    with pytest.raises(RuntimeError):
        hml("run", "copy")


def test_a_reader_that_leaves_early_is_no_error():
    command = f'"{sys.executable}" -u -m hmlcore.cli list | head -n 1'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "mixers\n", "")
