"""Figures of text as bytes."""

from made_up_results import bytes_run, loaded

from hmlcore.results import Run, Store
from hmlcore.studies.bytes.figures import bytes_by_context, bytes_position, learning_curves


def test_corpora_have_panels(tmp_path):
    store = Store(tmp_path)
    run = bytes_run("hml", 0)
    store.write(run)
    rows = [{**row, **({"corpus": "pg19"} if "corpus" in row else {})} for row in run.rows]
    store.write(
        Run({**run.spec, "train": [{"task": "bytes", "corpus": "pg19", "length": 256}]}, run.provenance, rows)
    )
    for function in (bytes_by_context, bytes_position, learning_curves):
        fig = function(loaded(store, "bytes"))
        assert {"pg19", "stdlib"} <= {note.text for note in fig.layout.annotations}, function
        assert len([t for t in fig.data if t.meta == "seeds"]) == 2
