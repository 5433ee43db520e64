"""The store on disk: round trip, files that do not belong, disks that refuse."""

import random
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import long_run, provenance, run, spec

from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store, canonical, spec_hash
from hmlcore.results.pack import pack


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(store):
    made = provenance(device="cuda", dirty=True, data_version="3.11")
    rows = [
        {"metric": "exact", "value": 0.25, "n": 512, "payload": 8, "delay": 32},
        {"metric": "loss", "value": float("nan"), "step": 10, "split": "train"},
        {"metric": "exact", "value": 1, "n": 64, "payload": 4, "delay": 8, "state_bytes": 999},
    ]
    path = store.write(run(rows, made=made, seed=3))
    assert path == store.root / "smoke" / ".runs" / "copy" / f"{spec_hash(spec(seed=3))[:16]}.parquet"
    assert names(path.parent) == [path.name]
    frame = store.load("smoke", "copy").frame
    assert list(frame["metric"]) == ["exact", "loss", "exact"]
    assert list(frame["value"])[::2] == [0.25, 1.0] and pd.isna(frame["value"][1])
    assert list(frame["n"]) == [512, 0, 64]
    assert list(frame["split"]) == ["test", "train", "test"]
    assert frame["payload"].isna().tolist() == [False, True, False]
    assert list(frame["state_bytes"]) == [16_384, 16_384, 999]
    first = frame.iloc[0]
    assert first["spec"] == canonical(spec(seed=3)) and first["spec_hash"] == spec_hash(spec(seed=3))
    for key, value in vars(made).items():
        assert first[key] == (16_384 if key == "state_bytes" else value), key
    for key in ("experiment", "profile", "mixer", "seed", "lr", "schema"):
        assert first[key] == spec(seed=3)[key]
    assert first["d_model"] == 64


def test_has_and_replace(store):
    assert not store.has(spec()) and not store.has_any("smoke", "copy")
    store.write(run([{"metric": "exact", "value": 0.1}]))
    store.write(run([{"metric": "exact", "value": 0.9}]))
    assert store.has(spec()) and store.has_any("smoke", "copy")
    assert not store.has(spec(seed=1)) and not store.has_any("laptop", "copy")
    assert list(store.load("smoke", "copy").frame["value"]) == [0.9]


def test_runs_with_different_columns_load_together(store):
    store.write(run([{"metric": "a", "value": 1, "delay": 4}], seed=0))
    store.write(run([{"metric": "a", "value": 1, "delay": 4.5, "corpus": "x"}], seed=1))
    frame = store.load("smoke", "copy").frame
    assert sorted(frame["delay"]) == [4.0, 4.5]
    assert frame["corpus"].isna().sum() == 1


def test_columns_of_contradicting_types_are_refused(store):
    store.write(run([{"metric": "a", "value": 1, "delay": 4}], seed=0))
    store.write(run([{"metric": "a", "value": 1, "delay": "long"}], seed=1))
    with pytest.raises(HmlcoreError, match="several types"):
        store.load("smoke", "copy")


def test_missing_results_name_the_command(store):
    with pytest.raises(HmlcoreError, match="hml run copy --profile laptop"):
        store.load("laptop", "copy")


def test_trace(store):
    token = {"t": 0, "byte": 104, "q": 0.5, "p": -0.25}
    store.write(run(trace=[token, {**token, "t": 1}], seed=0))
    store.write(run(trace=[token], seed=1))
    store.write(run(seed=2))
    found = store.trace("smoke", "copy", seed=0)
    assert list(found["t"]) == [0, 1] and list(found["byte"]) == [104, 104]
    assert set(found["spec_hash"]) == {spec_hash(spec(seed=0))} and set(found["mixer"]) == {"hml"}
    assert len(store.trace("smoke", "copy")) == 3
    assert len(store.load("smoke", "copy").hashes) == 3
    with pytest.raises(HmlcoreError, match="no trace"):
        store.trace("smoke", "copy", seed=2)
    with pytest.raises(HmlcoreError, match="unknown column 'head'"):
        store.trace("smoke", "copy", head=2)
    with pytest.raises(HmlcoreError, match="hml run recall"):
        store.trace("smoke", "recall")


def test_summary(store):
    assert store.summary().empty
    for seed, mixer in ((0, "hml"), (1, "hml"), (0, "attention")):
        store.write(run(seed=seed, mixer=mixer))
    store.write(run(experiment="recall", trace=[{"t": 0}]))
    assert store.summary().values.tolist() == [
        ["smoke", "copy", 3, "attention, hml", "0, 1"],
        ["smoke", "recall", 1, "hml", "0"],
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"value": 1.0}, "needs 'metric'"),
        ({"metric": "a"}, "needs 'metric' and 'value'"),
        ({"metric": "a", "value": "high"}, "must be numbers"),
        ({"metric": "a", "value": 1, "n": -1}, "n must not be negative"),
        ({"metric": "a", "value": 1, "split": "dev"}, "split 'dev'"),
        ({"metric": "a", "value": 1, "seed": 1}, r"\['seed'\] are provenance"),
        ({"metric": "a", "value": 1, "delay": [1]}, "column 'delay'"),
        ({"metric": "a", "value": 1, "state_bytes": 0.5}, "column 'state_bytes'"),
    ],
)
def test_rows_that_are_no_measurement(store, row, message):
    with pytest.raises(HmlcoreError, match=message):
        store.write(run([row]))
    assert not store.has_any("smoke", "copy")


def test_run_without_rows_is_refused(store):
    with pytest.raises(HmlcoreError, match="nothing was measured"):
        store.write(Run(spec(), provenance(), []))


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1" + bytes(200) + b"PAR1"])
def test_corrupt_file_is_named(store, content):
    path = store.write(run())
    path.with_name("0" * 16 + ".parquet").write_bytes(content)
    with pytest.raises(HmlcoreError, match=r"0{16}\.parquet cannot be read.*delete it"):
        store.load("smoke", "copy")


def test_truncated_file_is_named(store):
    path = store.write(long_run())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HmlcoreError, match=f"{path.name} cannot be read"):
        store.load("smoke", "copy")


def test_foreign_parquet_is_named(store):
    path = store.write(run())
    pd.DataFrame({"a": [1]}).to_parquet(path.with_name("table.parquet"))
    with pytest.raises(HmlcoreError, match=r"table\.parquet is not a result written by hmlcore"):
        store.load("smoke", "copy")


def test_other_schema_is_named(store, monkeypatch):
    monkeypatch.setattr("hmlcore.results.run.SCHEMA", 7)
    path = store.write(run())
    with pytest.raises(HmlcoreError, match=f"{path.name} has results schema 7, this version reads 1"):
        store.load("smoke", "copy")


@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize(
    "name",
    ["{0}.bak", "{0}-copy", "{0} (1)", "{0}_copy", "{0}0", "{1}", "{0}.traces", "{0}.bak.claimed", "0" * 16],
)
def test_copy_under_another_name_is_refused(store, trace, name):
    """It would count its seed twice, whichever way it is looked for."""
    path = store.write(run(seed=0, trace=[{"t": 0}]))
    digits, suffix = path.stem, ".trace.parquet" if trace else ".parquet"
    path = path.with_name(digits + suffix)
    copy = path.with_name(name.format(digits, digits.upper()) + suffix)
    copy.write_bytes(path.read_bytes())
    read = store.trace if trace else store.load
    for act in (lambda: read("smoke", "copy"), lambda: pack(store, "smoke")):
        with pytest.raises(HmlcoreError, match=r"it was renamed or copied; delete it$") as caught:
            act()
        assert str(copy) in str(caught.value) and f"run {digits}" in str(caught.value)
    if name != "0" * 16:
        assert store.hashes("smoke", "copy") == set(store.find(digits[:4])) == {digits}
    copy.unlink()
    assert store.load("smoke", "copy").seeds == [0] and len(store.trace("smoke", "copy")) == 1


def test_a_run_in_place_of_its_trace_is_refused(store):
    path = store.write(run(trace=[{"t": 0}]))
    trace = path.with_name(f"{path.stem}.trace.parquet")
    trace.write_bytes(path.read_bytes())
    with pytest.raises(HmlcoreError, match=f"{trace.name} holds run {path.stem}: it was renamed or copied"):
        store.trace("smoke", "copy")


@pytest.mark.parametrize("make", [run, long_run])
def test_every_byte_of_a_run_is_under_its_hash(store, make):
    path, draw = store.write(make()), random.Random(0)
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    for number in range(150):
        broken = bytearray(content)
        broken[-draw.randrange(1, footer if number % 2 else len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(HmlcoreError, match=str(path)) as caught:
            store.load("smoke", "copy")
        assert "\n" not in str(caught.value)


def test_a_run_that_was_edited_is_refused(store):
    path = store.write(run())
    table = pq.read_table(path)
    column = table.column_names.index("value")
    pq.write_table(table.set_column(column, "value", pa.array([0.99])), path)
    with pytest.raises(HmlcoreError, match=f"{path.name} cannot be read: its content is not of the hash"):
        store.load("smoke", "copy")


@pytest.mark.parametrize("name", ["._{}", ".{}.swp", ".~{}", ".#{}"])
def test_names_that_begin_with_a_dot_are_not_ours(store, name):
    """What a Mac, an editor or a sync leaves, beside loose runs, packed ones and profiles."""
    pack_of = store.write(run(seed=0, trace=[{"t": 0}])).parent
    pack(store, "smoke")
    path = store.write(run(seed=1, trace=[{"t": 0}]))
    trace = path.with_name(f"{path.stem}.trace.parquet")
    for ours in (
        path,
        trace,
        store.root / "smoke" / "copy.parquet",
        store.root / "smoke" / "copy.traces.parquet",
    ):
        ours.with_name(name.format(ours.name)).write_text("junk")
    (store.root / name.format("smoke")).mkdir()
    (store.root / "smoke" / name.format("recall")).mkdir()
    (store.root / "smoke" / name.format("recall") / "0.parquet").write_text("junk")
    (pack_of.parent / name.format("recall")).mkdir()
    (pack_of.parent / "recall").mkdir()
    (pack_of.parent / "recall" / name.format("0.parquet")).write_text("junk")
    assert store.load("smoke", "copy").seeds == [0, 1] and len(store.trace("smoke", "copy")) == 2
    assert store.summary()["experiment"].tolist() == ["copy"] and len(store.hashes("smoke", "copy")) == 2
    pack(store, "smoke")
    assert store.load("smoke", "copy").seeds == [0, 1]


def test_result_in_the_wrong_folder_is_refused(store):
    path, other = store.write(run()), store.write(run(profile="laptop"))
    path.rename(other.with_name(path.name))
    with pytest.raises(HmlcoreError, match=f"{path.name}: its profile is smoke, and it lies where 'laptop'"):
        store.load("laptop", "copy")


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(HmlcoreError, match="cannot write"):
        Store(tmp_path / "results").write(run())


def test_files_are_small_and_load_is_fast(store):
    sizes = [store.write(long_run(seed=seed)).stat().st_size for seed in range(300)]
    assert max(sizes) < 25_000
    start = time.perf_counter()
    assert len(store.load("smoke", "copy").seeds) == 300
    assert time.perf_counter() - start < 10  # about 0.7 s on an idle machine
