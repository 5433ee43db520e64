"""Packed files that are not what they should be: each is refused by name, and nothing stored is lost."""

import json
import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import long_run, run, spec

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store, canonical, spec_hash
from hmlcore.results.files import loose_bytes
from hmlcore.results.merge import table_of
from hmlcore.results.pack import pack
from hmlcore.results.packed import difference

COPY = ("smoke", "copy")


@pytest.fixture
def store(tmp_path):
    """Two packed runs of two rows each, and a loose one."""
    store = Store(tmp_path / "results")
    for seed in range(2):
        store.write(run([{"metric": "a", "value": 1.0}, {"metric": "b", "value": 2.0}], [{"t": 0}], seed=seed))
    pack(store, "smoke")
    store.write(run(seed=2))
    return store


@pytest.fixture
def path(store):
    return store.place(*COPY).packed()


def rewrite(path, table=None, **footer):
    """The packed file with another table, or other entries in its footer (None: without that entry)."""
    file = pq.ParquetFile(path)
    table = table if table is not None else file.read()
    stored = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    stored = {key: value for key, value in stored.items() if key.startswith("hmlcore_")}
    stored |= {f"hmlcore_{key}": value for key, value in footer.items()}
    with pq.ParquetWriter(path, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata({key: value for key, value in stored.items() if value is not None})


def refused(store, message, has=True):
    """Loading and packing refuse with `message`, in one line, and leave all as it was; maybe `has` too."""
    before = {p: p.read_bytes() for p in store.root.rglob("*.parquet")}
    acts = [lambda: store.load(*COPY), lambda: pack(store, "smoke")]
    for act in [*acts, lambda: store.has(spec(seed=0))] if has else acts:
        with pytest.raises(HmlcoreError, match=message) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert before == {p: p.read_bytes() for p in store.root.rglob("*.parquet")}


def test_another_schema(store, path):
    rewrite(path, schema="7")
    refused(store, r"copy\.parquet has results schema 7, this version reads 1")


@pytest.mark.parametrize("quarter", range(4))
def test_cut_off(store, path, quarter):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * quarter // 4])
    refused(store, r"copy\.parquet cannot be read as parquet .*; take it from version control")


@pytest.mark.parametrize("content", [b"not parquet at all", b"PAR1" + bytes(200) + b"PAR1"])
def test_no_parquet(store, path, content):
    path.write_bytes(content)
    refused(store, r"copy\.parquet cannot be read as parquet")


@pytest.mark.parametrize("make", [run, long_run])
def test_a_flipped_bit(tmp_path, make):
    """Anywhere in the file: it is refused in one line, or nothing that is read changes."""
    store, draw, refusals = Store(tmp_path), random.Random(0), 0
    for seed in range(3):
        store.write(make(seed=seed))
    pack(store, "smoke")
    path, wanted = store.place(*COPY).packed(), table_of(store.place(*COPY))
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    for number in range(150):
        content = bytearray(whole)
        content[-draw.randrange(1, footer if number % 2 else len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            assert difference(table_of(store.place(*COPY)), wanted) is None
        except HmlcoreError as error:
            refusals += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refusals > 75


@pytest.mark.parametrize("type_", [pa.float32(), pa.string()])
def test_a_column_of_a_type_that_no_run_has(store, path, type_):
    table = pq.read_table(path)
    rewrite(path, table.set_column(table.column_names.index("value"), "value", table["value"].cast(type_)))
    refused(
        store, r"copy\.parquet: columns \['value'\] are not those of 'hmlcore_layouts', or not of a type there"
    )


def test_a_foreign_table(store, path):
    pd.DataFrame({"a": [1]}).to_parquet(path)
    refused(store, r"copy\.parquet is not a result written by hmlcore")


def test_a_loose_run_in_its_place(store, path):
    path.write_bytes(store.path(spec(seed=2)).read_bytes())
    refused(store, r"copy\.parquet has 'hmlcore_packed' None, not runs or traces: a loose run")


def test_a_packed_file_among_loose_ones(store, path):
    stray = store.place(*COPY).inbox / "theirs.parquet"
    stray.write_bytes(path.read_bytes())
    refused(store, r"theirs\.parquet holds packed runs, among loose ones; hml pack .* --with", has=False)


@pytest.mark.parametrize("key", ["runs", "layouts"])
@pytest.mark.parametrize("value", [None, "", "{}}", "[1]", '{"a": 1}', '{"a": [1, 9]}', '[[["n", "int9"]]]'])
def test_a_damaged_footer(store, path, key, value):
    rewrite(path, **{key: value})
    with pytest.raises(HmlcoreError, match=r"copy\.parquet: ('hmlcore_|column 'spec_hash')"):
        store.load(*COPY)


def runs_of(path):
    return json.loads(pq.ParquetFile(path).metadata.metadata[b"hmlcore_runs"])


def test_a_footer_that_lists_runs_without_rows(store, path):
    rewrite(path, runs=json.dumps(runs_of(path) | {"f" * 64: [2, 0]}))
    refused(store, r"copy\.parquet: column 'spec_hash' has 2 runs where the footer lists 3", has=False)


def test_rows_that_the_footer_does_not_list(store, path):
    (first, entry), (second, _) = runs_of(path).items()
    rewrite(path, runs=json.dumps({first: entry}))
    refused(store, r"copy\.parquet: column 'spec_hash' has 2 runs where the footer lists 1", has=False)
    rewrite(path, runs=json.dumps({second: entry}))
    refused(store, f"has 2 rows of run {first[:16]} where the footer lists 2 of run {second[:16]}", has=False)


@pytest.mark.parametrize(
    "rows", [[0, 1, 2], [1, 2, 3], [0, 2, 1, 3], [2, 3, 0, 1], [0, 1, 2, 3, 3], [0, 0, 2, 3, 0], []]
)
def test_rows_that_were_taken_out_doubled_or_moved(store, path, rows):
    rewrite(path, pq.read_table(path).take(pa.array(rows, pa.int64())))
    refused(store, r"copy\.parquet: column 'spec_hash' has", has=False)


@pytest.mark.parametrize("rows", [[0], [1], [0, 1], [3], [0, 1, 2, 3]])
def test_a_spec_that_is_not_of_its_hash(store, path, rows):
    table = pq.read_table(path)
    other = canonical(spec(seed=0, lr=9.0))
    texts = [other if n in rows else text for n, text in enumerate(table["spec"].to_pylist())]
    column = pa.array(texts).dictionary_encode()
    rewrite(path, table.set_column(table.column_names.index("spec"), "spec", column))
    refused(
        store, r"copy\.parquet: column 'spec' of run [0-9a-f]{16} has a spec of hash [0-9a-f]{16}", has=False
    )


def test_a_loose_spec_that_is_not_of_its_hash(store):
    path = store.path(spec(seed=2))
    table = pq.read_table(path)
    column = pa.array([canonical(spec(seed=3))] * len(table))
    path.write_bytes(loose_bytes(table.set_column(table.column_names.index("spec"), "spec", column)))
    refused(
        store,
        f"{path.name}: column 'spec' of run {path.stem} has a spec of hash {spec_hash(spec(seed=3))[:16]}",
        False,
    )


def test_a_loose_file_under_another_name(store):
    path = store.path(spec(seed=2))
    path.rename(path.with_name("0" * 16 + ".parquet"))
    refused(store, r"0{16}\.parquet holds run .*: it was renamed or copied; delete it", has=False)


def test_a_packed_file_under_another_name_or_in_another_folder(store, path):
    traces = store.place(*COPY).packed(trace=True)
    other = path.with_name("recall.parquet")
    other.write_bytes(path.read_bytes())
    with pytest.raises(
        HmlcoreError, match=r"recall\.parquet: its experiment is copy, and it lies where 'recall'"
    ):
        store.load("smoke", "recall")
    (store.root / "full").mkdir()
    (store.root / "full" / "copy.parquet").write_bytes(path.read_bytes())
    with pytest.raises(
        HmlcoreError, match=r"full/copy\.parquet: its profile is smoke, and it lies where 'full'"
    ):
        store.load("full", "copy")
    path.write_bytes(traces.read_bytes())
    refused(
        store, r"copy\.parquet has 'hmlcore_packed' 'traces' where 'runs' belong: it was renamed", has=False
    )


def test_columns_of_contradicting_types_are_refused_and_stay(store):
    store.write(run([{"metric": "a", "value": 1, "delay": 4}], seed=3))
    store.write(run([{"metric": "a", "value": 1, "delay": "long"}], seed=4))
    refused(store, "several types", has=False)
