"""The numbers of recall, by hand from made-up runs."""

from made_up_results import loaded, provenance, spec

from hmlcore.results import Run, Store
from hmlcore.studies.kit.numbers import numbers_of
from hmlcore.studies.recall.figures import NUMBERS


def test_recall_reports_the_best_width_and_its_state(tmp_path):
    store, train = Store(tmp_path), [{"task": "mqar", "pairs": 8, "length": 64}]
    for width, state, values in ((32, 4096, (0.5, 0.6)), (64, 16384, (0.9, 0.7))):
        for seed, value in enumerate(values):
            rows = [{"metric": "accuracy", "pairs": 8, "value": value, "n": 64}]
            rows += [{"metric": "accuracy", "pairs": 64, "value": value / 2, "n": 64}]
            own = spec("recall", "hml", seed, d_model=width, train=train)
            store.write(Run(own, provenance(state_bytes=state), rows))
    assert numbers_of(loaded(store, "recall"), NUMBERS["recall"]) == {
        "recall_pairs_trained": "8", "recall_hml_best": "0.800", "recall_hml_best_state": "16 KiB",
    }  # fmt: skip
