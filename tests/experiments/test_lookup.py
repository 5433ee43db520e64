"""From the digits in a figure to the run behind them, and to the command that makes exactly that run."""

import shlex

import pytest

from hmlcore import paths
from hmlcore.cli import main
from hmlcore.errors import HmlcoreError
from hmlcore.experiments import EXPERIMENTS, select
from hmlcore.experiments.lookup import command, find_run, report
from hmlcore.results import Store, spec_hash

COMMITTED = Store(paths.root() / "results")
TRAINED = sorted(name for name, e in EXPERIMENTS.items() if e.together is None)


def test_a_stored_run_is_found_by_its_first_digits():
    path = sorted((COMMITTED.root / "laptop" / "copy").glob("*.parquet"))[0]
    for digits in (path.stem, path.stem[:8]):
        found = find_run(COMMITTED, digits)
        assert found.path == path and spec_hash(found.spec).startswith(path.stem)
        assert set(found.rows["spec_hash"]) == {spec_hash(found.spec)}
    whole = spec_hash(find_run(COMMITTED, path.stem).spec)
    assert find_run(COMMITTED, whole).path == path
    other = whole[:16] + ("0" if whole[16] != "0" else "1")
    with pytest.raises(HmlcoreError, match="no run"):
        find_run(COMMITTED, other)


@pytest.mark.parametrize(("digits", "message"), [("12", "4 to 64"), ("xyzw", "4 to 64"), ("0" * 16, "no run")])
def test_what_names_no_run_is_refused(digits, message):
    with pytest.raises(HmlcoreError, match=message):
        find_run(COMMITTED, digits)


def test_several_runs_are_listed(tmp_path):
    folder = tmp_path / "laptop" / "copy"
    folder.mkdir(parents=True)
    for name in ("abcd00", "abcd11"):
        (folder / f"{name}.parquet").touch()
    with pytest.raises(HmlcoreError, match="abcd00, abcd11"):
        find_run(Store(tmp_path), "abcd")


@pytest.mark.parametrize("name", TRAINED)
def test_the_command_makes_that_run_and_no_other(name):
    grid = EXPERIMENTS[name].grid("laptop")
    for spec in grid[:: max(1, len(grid) // 20)]:
        words = shlex.split(command(spec))
        assert words[:5] == ["hml", "run", name, "--profile", "laptop"]
        seeds = words.index("--seeds")
        only = dict(word.split("=", 1) for word in words[words.index("--only") + 1 : seeds])
        chosen = select(grid, {k: [v] for k, v in only.items()}, [int(words[seeds + 1])])
        assert chosen == [spec]


def test_hml_show_prints_where_it_is_what_it_scored_and_how_to_make_it(capsys):
    path = sorted((COMMITTED.root / "laptop" / "recall").glob("*.parquet"))[0]
    found = find_run(COMMITTED, path.stem)
    assert main(["show", path.stem[:10]]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == report(found).strip()
    for part in (str(path), command(found.spec), f"hml verify --run {path.stem}", "accuracy", '"d_model"'):
        assert part in printed
    assert main(["show", "nothing"]) == 2
