"""Packing: what goes in comes out the same, the same runs give the same bytes, and nothing else is touched."""

import hashlib
import random
from math import nan
from threading import Thread
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_up import long_run, provenance, run, spec

from hmlcore.cli import main
from hmlcore.errors import HmlcoreError
from hmlcore.results import Store, spec_hash
from hmlcore.results import merge as merging
from hmlcore.results import pack as packing
from hmlcore.results.pack import pack

COPY = ("smoke", "copy")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def packed_file(store, trace=False):
    return store.place(*COPY).packed(trace)


def files(store):
    """Every parquet file below the store, by its path there."""
    return {p.relative_to(store.root).as_posix(): p.read_bytes() for p in sorted(store.root.rglob("*.parquet"))}


def varied(seed):
    """Runs of all shapes: other columns in other orders, whole numbers and fractions in one column, NaN, -0.0,
    no rate, text, truth values, traces; drawn from `seed`."""
    draw = random.Random(seed)
    runs = []
    for number in range(draw.randint(4, 9)):
        own = {"delay": 2**number, "payload": number + 0.5, "corpus": f"{number} books", "odd": number % 2 == 1}
        names = draw.sample(sorted(own), draw.randint(0, len(own)))
        rows = [
            {"metric": draw.choice("ab"), "value": draw.choice([nan, -0.0, 0.0, 1e-300, draw.random()]), "n": n}
            | {name: own[name] for name in names}
            for n in range(draw.randint(1, 5))
        ]
        if "payload" in names and number % 2:  # whole in this run, a fraction in others
            rows = [row | {"payload": number} for row in rows]
        if draw.random() < 0.5:
            rows[0] = {"split": "validation", **rows[0], "state_bytes": 9}
        trace = [{"t": t, "q": draw.random() if t else nan} for t in range(3)] if draw.random() < 0.5 else None
        made = provenance(wall_s=draw.random(), dirty=draw.random() < 0.5)
        runs.append(
            run(rows, trace, made, seed=number, mixer=draw.choice(["hml", "gru"]), lr=draw.choice([None, 0.1]))
        )
    return runs


def filled(root, runs):
    store = Store(root)
    for one in runs:
        store.write(one)
    return store


@pytest.mark.parametrize("seed", range(8))
def test_frames_are_equal_before_and_after(tmp_path, seed):
    """Also where only some are packed: dtypes, and the order of columns, rows and categories, included."""
    runs = varied(seed)
    store = filled(tmp_path / "whole", runs)
    before, summary = store.load(*COPY).frame, store.summary()
    traces = store.trace(*COPY) if any(one.trace for one in runs) else None
    random.Random(seed).shuffle(runs)
    half = filled(tmp_path / "half", runs[: len(runs) // 2])
    pack(half, "smoke")
    for one in runs[len(runs) // 2 :]:
        half.write(one)
    pack(store, "smoke")
    for other in (store, half):
        pd.testing.assert_frame_equal(other.load(*COPY).frame, before, check_exact=True)
        if traces is not None:
            pd.testing.assert_frame_equal(other.trace(*COPY), traces, check_exact=True)
        pd.testing.assert_frame_equal(other.summary(), summary)
        assert all(other.has(one.spec) for one in runs) and other.has_any(*COPY)
    assert set(files(store)) <= {"smoke/copy.parquet", "smoke/copy.traces.parquet"}


@pytest.mark.parametrize("seed", range(8))
def test_the_same_runs_give_the_same_bytes(tmp_path, seed):
    """All at once, one at a time, packed twice, and merged from two people's packed files in either order."""
    runs = varied(seed)
    at_once = filled(tmp_path / "once", runs)
    pack(at_once, "smoke")
    wanted = files(at_once)
    assert pack(at_once, "smoke", "copy")[0].added == 0 and files(at_once) == wanted
    slowly = Store(tmp_path / "slowly")
    for one in random.Random(seed).sample(runs, len(runs)):
        slowly.write(one)
        pack(slowly, "smoke")
    assert files(slowly) == wanted
    for one in runs:  # equal to what is packed: counts once
        slowly.write(one)
    assert len(slowly.load(*COPY).hashes) == len(runs)
    assert pack(slowly, "smoke")[0].added == 0 and files(slowly) == wanted
    middle = len(runs) // 2
    ours, theirs = (filled(tmp_path / n, part) for n, part in (("a", runs[: middle + 1]), ("b", runs[middle:])))
    for one in (ours, theirs):
        pack(one, "smoke")
    sides = [(ours, theirs), (theirs, filled(tmp_path / "c", runs[: middle + 1]))]
    pack(sides[1][1], "smoke")
    for one, other in sides:
        others = [packed_file(other, trace) for trace in (False, True)]
        pack(one, "smoke", "copy", also=[path for path in others if path.is_file()])
        assert files(one) == wanted


def test_has_and_find_read_no_rows_and_the_footer_once(store, monkeypatch):
    written = [store.write(run(seed=seed)) for seed in range(3)]
    pack(store, "smoke")
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    assert store.has(spec(seed=1)) and not store.has(spec(seed=9)) and store.has_any(*COPY)
    assert list(store.find(written[2].stem[:8])) == [written[2].stem]
    monkeypatch.setattr(pq, "ParquetFile", None)
    assert store.has(spec(seed=2)) and not store.has(spec(seed=8))


def test_has_sees_that_the_packed_file_has_changed(store):
    store.write(run(seed=0))
    pack(store, "smoke")
    assert store.has(spec(seed=0)) and not store.has(spec(seed=1))
    store.write(run(seed=1))
    pack(store, "smoke")
    assert store.has(spec(seed=0)) and store.has(spec(seed=1))
    assert store.path(spec(seed=1)).parent == store.root / "smoke" / ".runs" / "copy"
    packed_file(store).unlink()
    assert not store.has(spec(seed=0)) and not store.has_any(*COPY)


def test_loose_and_packed_that_contradict_are_refused_in_one_line(store):
    store.write(run(made=provenance(wall_s=1.5)))
    pack(store, "smoke")
    path = store.write(run(made=provenance(wall_s=2.5)))
    for act in (lambda: store.load(*COPY), lambda: pack(store, "smoke")):
        with pytest.raises(HmlcoreError) as caught:
            act()
        text = str(caught.value)
        assert text.startswith(f"{packed_file(store)} and {path} have different results of run {path.stem}: ")
        assert "field 'wall_s' is 1.5 in the first, 2.5 in the second, at row 0;" in text and "\n" not in text
    assert path.is_file()
    pack(store, "smoke", "copy", drop=[path.stem])
    assert store.load(*COPY).frame["wall_s"].tolist() == [2.5] and not path.exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"metric": "a", "value": 1.0}], "there are 2 rows in the first, 1 in the second"),
        ([{"metric": "a", "value": 1.0}, {"metric": "a", "value": 0.0}], "'value' is nan in the first, 0.0"),
        ([{"metric": "a", "value": 1.0, "k": 1}, {"metric": "a", "value": nan}], "'k' is only in the second"),
    ],
)
def test_what_differs_is_named(store, rows, message):
    same = [{"metric": "a", "value": 1.0}, {"metric": "a", "value": nan}]
    for given in (same, same):  # NaN equals itself
        store.write(run(given))
        pack(store, "smoke")
    store.write(run(rows))
    with pytest.raises(HmlcoreError, match=message):
        store.load(*COPY)


def test_contradicting_traces_are_refused(store):
    store.write(run(trace=[{"t": 0, "q": 0.5}]))
    pack(store, "smoke")
    store.write(run(trace=[{"t": 0, "q": 0.75}]))
    with pytest.raises(HmlcoreError, match=r"copy\.traces\.parquet and .*\.trace\.parquet .*: field 'q' is"):
        store.trace(*COPY)


def test_what_was_measured_anew_replaces(store):
    def timed(seconds):
        return run([{"metric": "s", "value": seconds}], [{"t": 0, "q": seconds}], provenance(wall_s=seconds))

    store.write(timed(1.0))
    store.write(run(seed=1))
    pack(store, "smoke")
    for seconds in (2.0, 3.0):  # the second over a packed one that was itself replaced
        path = store.write(timed(seconds), replace=True)
        for packed in (False, True):
            assert store.load(*COPY).where(seed=0).frame["value"].tolist() == [seconds]
            assert store.trace(*COPY)["q"].tolist() == [seconds]
            assert len(store.load(*COPY).hashes) == 2
            if not packed:
                assert pack(store, "smoke")[0].added == 1 and not path.exists()
    assert b"replaces" not in packed_file(store).read_bytes()
    store.write(timed(4.0))
    with pytest.raises(HmlcoreError, match="different results"):
        store.load(*COPY)


def test_the_old_folders_are_taken_in_and_go(store):
    runs = [run(seed=seed, trace=[{"t": 0}]) for seed in range(3)]
    place = store.place(*COPY)
    for one in runs[:2]:
        store.write(one)
    place.inbox.rename(place.former)
    store.write(runs[2])
    before = store.load(*COPY).frame
    assert len(before) == 3 and len(store.trace(*COPY)) == 3 and store.has(runs[0].spec)
    assert store.path(runs[0].spec).parent == place.former
    store.write(
        run([{"metric": "exact", "value": 0.75}], [{"t": 5}], seed=0)
    )  # in place of the one that is there
    assert store.load(*COPY).where(seed=0).frame["value"].tolist() == [0.75]
    store.write(runs[0])
    assert pack(store, "smoke")[0].added == 3
    pd.testing.assert_frame_equal(store.load(*COPY).frame, before)
    assert not place.former.exists() and set(files(store)) == {
        "smoke/copy.parquet",
        "smoke/copy.traces.parquet",
    }


def at_once(monkeypatch, module, name, act, after=False):
    """Before the first call of `module.name`, or after it, `act` happens."""
    real = getattr(module, name)

    def call(*arguments, **options):
        monkeypatch.setattr(module, name, real)
        if not after:
            act()
        found = real(*arguments, **options)
        if after:
            act()
        return found

    monkeypatch.setattr(module, name, call)


def anew(value):
    return run([{"metric": "exact", "value": value}])


def test_a_run_written_while_a_packer_packs_survives(store, monkeypatch):
    """One that is new, and one in the place of a file that the packer has read and is about to delete."""

    def write():
        store.write(run(seed=1))
        store.write(anew(0.2), replace=True)

    store.write(anew(0.1))
    at_once(monkeypatch, packing, "_delete", write)
    pack(store, "smoke")
    assert store.load(*COPY).seeds == [0, 1]
    assert store.load(*COPY).where(seed=0).frame["value"].tolist() == [0.2]
    store.write(anew(0.1))  # over the newer one, which waits under its other name
    assert store.load(*COPY).where(seed=0).frame["value"].tolist() == [0.1]
    store.write(anew(0.3), replace=True)
    for _ in range(2):
        assert store.load(*COPY).where(seed=0).frame["value"].tolist() == [0.3]
        pack(store, "smoke")
    assert set(files(store)) == {"smoke/copy.parquet"}


def test_a_run_written_while_a_packer_looks_at_the_one_before_survives(store, monkeypatch):
    store.write(anew(0.1))
    looks = SimpleNamespace(sha256=hashlib.sha256)
    at_once(monkeypatch, looks, "sha256", lambda: store.write(anew(0.2), replace=True))
    monkeypatch.setattr(packing, "hashlib", looks)
    pack(store, "smoke")
    assert store.load(*COPY).frame["value"].tolist() == [0.2]


def test_a_packer_waits_for_another(store, monkeypatch):
    """Or it would put back a file without what the other has packed, and deleted, meanwhile."""
    store.write(run(seed=0))
    other = Thread(target=pack, args=(store, "smoke"))

    def begin():
        store.write(run(seed=1))
        other.start()
        other.join(0.3)
        assert other.is_alive()

    at_once(monkeypatch, packing, "_store", begin)
    pack(store, "smoke")
    other.join()
    assert store.load(*COPY).seeds == [0, 1] and not store.place(*COPY).loose()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", ["_packed_parts", "read_loose"])
def test_a_reader_sees_every_run_while_a_packer_packs(store, monkeypatch, moment, after):
    for seed in range(3):
        store.write(run(seed=seed))

    def packer():
        pack(store, "smoke")

    at_once(monkeypatch, merging, moment, packer, after)
    assert store.load(*COPY).seeds == [0, 1, 2]
    store.write(run(seed=3))
    at_once(monkeypatch, merging, moment, packer, after)
    assert store.load(*COPY).seeds == [0, 1, 2, 3]


def test_a_link_to_nowhere_is_named(store):
    path = store.write(run())
    path.with_name("0" * 16 + ".parquet").symlink_to("gone")
    with pytest.raises(HmlcoreError, match=r"0{16}\.parquet is listed but cannot be opened"):
        store.load(*COPY)


def test_a_trace_waits_for_its_run(store):
    """It was written by a process that was killed before it stored the run, or is about to."""
    path = store.write(run(seed=1, trace=[{"t": 0}]))
    path.unlink()
    store.write(run(seed=0))
    pack(store, "smoke")
    waiting = path.with_name(f"{path.stem}.trace.parquet")
    assert waiting.is_file() and not packed_file(store, trace=True).exists()
    store.write(run(seed=1, trace=[{"t": 7}]))
    pack(store, "smoke")
    assert store.trace(*COPY)["t"].tolist() == [7] and not waiting.exists()


def test_runs_are_taken_out(store):
    for seed in range(3):
        store.write(run(seed=seed, trace=[{"t": seed}]))
    pack(store, "smoke")
    names = {seed: spec_hash(spec(seed=seed))[:12] for seed in range(3)}
    assert pack(store, "smoke", "copy", drop=[names[0]])[0].runs == 2
    assert store.load(*COPY).seeds == [1, 2] and store.trace(*COPY)["t"].tolist() == [1, 2]
    for drop, message in [
        ([names[0]], "no runs '.*' in .*copy.parquet"),
        (["ab"], "by 4 digits of its spec hash or more"),
        ([names[1], names[2]], "would hold no run; delete it instead"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            pack(store, "smoke", "copy", drop=drop)
    assert store.load(*COPY).seeds == [1, 2]


def test_a_disk_that_refuses_loses_nothing(store, monkeypatch):
    path = store.write(run(seed=0, trace=[{"t": 0}]))
    monkeypatch.setattr(
        packing, "packed_bytes", lambda parts, trace: (b"PAR1", None)
    )  # not what was to be written
    with pytest.raises(HmlcoreError, match="cannot be read"):
        pack(store, "smoke")
    assert path.is_file() and not packed_file(store).exists() and store.load(*COPY).seeds == [0]
    assert not [p for p in store.root.rglob("*") if p.name.endswith(".tmp")]


def test_packed_is_small_and_loads_fast(store):
    loose = sum(store.write(long_run(seed=seed)).stat().st_size for seed in range(100))
    pack(store, "smoke")
    assert packed_file(store).stat().st_size < loose / 10
    assert packed_file(store).stat().st_size < 100 * 600


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HMLCORE_RESULTS", str(tmp_path))
    store = Store(tmp_path)
    assert main(["pack"]) == 0 and "nothing to pack in" in capsys.readouterr().out
    for one in (run(seed=0), run(seed=1), run(experiment="recall"), run(profile="laptop")):
        store.write(one)
    assert main(["pack", "--profile", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" in,")[0] for line in lines] == ["copy: 2 runs went", "recall: 1 run went"]
    assert f"{tmp_path / 'smoke' / 'copy.parquet'} holds 2 in " in lines[0] and lines[0].endswith("KiB")
    assert main(["pack", "copy", "recall", "--profile", "smoke"]) == 0
    assert capsys.readouterr().out.startswith("copy: 0 runs went in")
    assert main(["pack"]) == 0 and "copy: 1 run went in" in capsys.readouterr().out
    for arguments, message in [
        (["pack", "kopie", "--profile", "smoke"], "'kopie'; known: copy, recall"),
        (["pack", "--profile", "../x"], "unknown profile '../x'; known: full"),
        (["pack", "--drop", "abcd"], "which experiment's runs?"),
        (["pack", "copy", "recall", "--profile", "smoke", "--with", "x"], "take one experiment"),
        (["pack", "copy", "--profile", "smoke", "--with", str(tmp_path / "x")], "no file"),
    ]:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
