"""The ledger: verdicts of versions, the pivot rule, ticked criteria, and the committed document."""

import subprocess
import sys
from pathlib import Path

import pytest
from made_up_results import SPARSE_GATES, fill_sparse, loaded, sparse_run, sparse_speed_run

from hmlcore.results import Run, Store
from hmlcore.runner import ledger
from hmlcore.studies.sparse.ledger import GAIN, NO_GAIN, WAITS, WORSE, criteria, entries, pivots
from hmlcore.studies.sparse.rungs import RUNGS

ROOT = Path(__file__).resolve().parents[3]
MIXER = "window_attention"


def climbed(folder, skills):
    """Results of a ladder whose versions have these skills, in order."""
    store = Store(folder)
    for seed in range(3):
        for rung, skill in zip(RUNGS, skills, strict=False):
            run = sparse_run(MIXER, seed, rung.name, "sparse_ladder", skill={"random": skill})
            kept = [row for row in run.rows if row.get("gate") not in ("every", "masked", "none")]
            store.write(Run(run.spec, run.provenance, kept))
    return loaded(store, "sparse_ladder")


def test_a_version_is_held_against_the_best_before_it(tmp_path):
    found = entries(climbed(tmp_path, [0.0, 0.3, 0.2, 0.31, 0.3, 0.5, 0.5, 0.5, 0.1]))
    verdicts = [entry.verdict for entry in found]
    assert verdicts[1:9] == [GAIN, WORSE, NO_GAIN, NO_GAIN, GAIN, NO_GAIN, NO_GAIN, WORSE]
    assert verdicts[9:] == [WAITS, WAITS] and found[0].date == "2026-01-01"
    assert pivots(found) == [RUNGS[4].name, RUNGS[8].name]
    assert f"of {RUNGS[5].name}" in found[8].outcome and f"of {RUNGS[1].name}" in found[2].outcome


def test_nothing_measured_says_so():
    assert {entry.verdict for entry in entries(None)} == {WAITS} and pivots(entries(None)) == []
    assert {found.met for found in criteria([], None)} == {None}


def test_criteria_are_ticked_by_what_was_measured(tmp_path):
    store = fill_sparse(Store(tmp_path / "low"))
    low = criteria([loaded(store, "sparse_recall")], loaded(store, "sparse_speed"))
    assert [found.met for found in low] == [False, False, False, False, True, True]
    high, speed = Store(tmp_path / "high"), Store(tmp_path / "slow")
    for seed in range(3):
        high.write(sparse_run(MIXER, seed, skill=SPARSE_GATES | {"surprisal": 12.0}))
    speed.write(sparse_speed_run(MIXER, 0, slower=2.5))
    both = [loaded(store, "sparse_far"), loaded(high, "sparse_recall")]
    for recall in (both, both[::-1], both[1:]):  # the best of all speaks
        found = criteria(recall, loaded(speed, "sparse_speed"))
        assert [one.met for one in found] == [True, True, True, True, True, False]
        assert found[0].measured.endswith("(surprisal, everything written)")
    # Of several densities those below the source's, and of them the best.
    assert criteria(both[:1], None)[4].measured.startswith("0.108 (")


def test_what_the_terminal_and_the_document_say(tmp_path):
    store = fill_sparse(Store(tmp_path))
    said, document = ledger.text(*ledger.read(store, "laptop"), "laptop"), ledger.roadmap(store, "laptop")
    assert "[x] less than 0.15 of tokens written: 0." in said and "11 of 11 versions are measured" in said
    assert "- [x] less than 0.15" in document and document.count("\n| V") == 9
    assert all(f"| {rung.name} | {rung.phase} | {rung.goal} |" in document for rung in RUNGS)


def test_the_committed_document_is_current(monkeypatch):
    monkeypatch.delenv("HMLCORE_RESULTS", raising=False)
    committed = (ROOT / ledger.ROADMAP).read_text("utf-8")
    made = ledger.roadmap(Store(ROOT / "results"), "laptop")
    assert committed == made, "run: hml ledger --write"


def test_it_reads_without_torch():
    code = "import sys; from hmlcore.cli import main; main(['ledger']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("word", ["pivot", "gain"])
def test_help_says_what_the_words_mean(word, capsys):
    from hmlcore.cli import main

    with pytest.raises(SystemExit):
        main(["ledger", "--help"])
    assert word in capsys.readouterr().out
