"""From the digits in a figure to the run behind them, and to the command that makes exactly that run."""

import shlex

import pytest
from made_up import provenance

from hmlcore import paths
from hmlcore.cli import main
from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store, spec_hash
from hmlcore.runner.lookup import command, find_claim, find_run, report
from hmlcore.runner.select import select
from hmlcore.studies import experiments, get_experiment, protocol
from hmlcore.studies.export import claims, dated

COMMITTED = Store(paths.root() / "results")
TRAINED = sorted(name for name, e in experiments().items() if e.trained)


def test_a_stored_run_is_found_by_its_first_digits():
    path = COMMITTED.place("laptop", "copy").packed()
    whole = COMMITTED.load("laptop", "copy").hashes[0]
    for digits in (whole, whole[:16], whole[:8]):
        found = find_run(COMMITTED, digits)
        assert found.path == path and spec_hash(found.spec) == whole
        assert set(found.rows["spec_hash"]) == {whole}
    other = whole[:16] + ("0" if whole[16] != "0" else "1")
    with pytest.raises(HmlcoreError, match="no run"):
        find_run(COMMITTED, other)


@pytest.mark.parametrize(("digits", "message"), [("12", "4 to 64"), ("xyzw", "4 to 64"), ("0" * 16, "no run")])
def test_what_names_no_run_is_refused(digits, message):
    with pytest.raises(HmlcoreError, match=message):
        find_run(COMMITTED, digits)


def test_a_run_that_nobody_packed_yet_is_found_in_its_own_file(tmp_path):
    spec = protocol("copy").grid("smoke")[0]
    path = Store(tmp_path).write(Run(spec, provenance(), [{"metric": "accuracy", "value": 0.5}]))
    found = find_run(Store(tmp_path), spec_hash(spec)[:8])
    assert (found.path, found.spec) == (path, spec) and list(found.rows["value"]) == [0.5]


def test_several_runs_are_listed(tmp_path):
    folder = tmp_path / "laptop" / "copy"
    folder.mkdir(parents=True)
    for name in ("abcd000000000000", "abcd111111111111"):
        (folder / f"{name}.parquet").touch()
    with pytest.raises(HmlcoreError, match="abcd000000000000, abcd111111111111"):
        find_run(Store(tmp_path), "abcd")


@pytest.mark.parametrize("name", TRAINED)
def test_the_command_makes_that_run_and_no_other(name):
    grid = protocol(name).grid("laptop")
    for spec in grid[:: max(1, len(grid) // 20)]:
        words = shlex.split(command(spec))
        assert words[:5] == ["hml", "run", name, "--profile", "laptop"]
        seeds = words.index("--seeds")
        only = dict(word.split("=", 1) for word in words[words.index("--only") + 1 : seeds])
        chosen = select(grid, {k: [v] for k, v in only.items()}, [int(words[seeds + 1])])
        assert chosen == [spec]


def test_hml_show_prints_where_it_is_what_it_scored_and_how_to_make_it(capsys):
    digits = COMMITTED.load("laptop", "recall").hashes[0][:16]
    found = find_run(COMMITTED, digits)
    assert main(["show", digits[:10]]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == report(found).strip()
    shown = (str(found.path), command(found.spec), f"hml verify --run {digits}", "accuracy", '"d_model"')
    for part in shown:
        assert part in printed
    assert main(["show", "nothing"]) == 2


def test_a_claim_is_shown_with_the_runs_behind_it(capsys):
    name = "copy.load_not_lag"
    assert main(["show", name, "--profile", "laptop"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == find_claim(COMMITTED, "laptop", name).strip()
    (claim,) = [c for c in claims() if c.name == name]
    decided = claim.decide(get_experiment("copy").load(COMMITTED, "laptop"))
    (rule,) = dated([(get_experiment("copy").load(COMMITTED, "laptop"), decided)], COMMITTED)
    verdict, runs = f"verdict  {rule.beside(decided.verdict)}\n", f"{len(decided.runs)}, each"
    for part in (decided.statement, verdict, f"rule     {rule.words()}\n", decided.evidence, runs):
        assert part in printed
    assert all(digest[:16] in printed for digest in decided.runs)
    assert main(["show", "copy.nothing"]) == 2
    assert capsys.readouterr().err == f"hml: unknown run or claim 'copy.nothing'; known: {name}\n"


def test_claims_are_named_apart_or_hml_show_could_not_tell_them():
    names = [claim.name for claim in claims()]
    assert len(names) == len(set(names))
