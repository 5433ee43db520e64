"""Numbers for prose: names that text can quote, absent where nothing was measured."""

import pytest
from made_up import run

from hmlcore.errors import HmlcoreError
from hmlcore.results import ResultSet, Store
from hmlcore.results.text import bytes_text, signed, three
from hmlcore.studies import get_experiment
from hmlcore.studies.kit.numbers import numbers_json, numbers_of, numbers_tex


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def recall(store) -> ResultSet:
    return get_experiment("recall").load(store, "smoke")


def scored(validation, test, **changes):
    rows = [{"metric": "accuracy", "split": "validation", "pairs": 8, "value": validation, "n": 64}]
    rows += [{"metric": "accuracy", "pairs": 8, "value": test, "n": 64}]
    return run(rows, experiment="recall", train=[{"pairs": 8}], **changes)


def means(results) -> dict[str, str]:
    rows = results.metric("accuracy")
    return {f"Mean of {m}": three(part["value"].mean()) for m, part in rows.groupby("mixer")}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.93, "0.930"), (1, "1.00"), (12.345, "12.3"), (123.4, "123"), (1234.5, "1,234"), (0, "0.00")],
)
def test_three_digits(value, text):
    assert three(value) == text


def test_other_formats():
    assert [bytes_text(n) for n in (512, 16384, 5 * 2**20, 3 * 2**30)] == ["512 B", "16 KiB", "5 MiB", "3 GiB"]
    assert (signed(-0.1104), signed(0.02)) == ("−0.110", "+0.020")


def test_nothing_is_a_file_too():
    assert numbers_json({}) == "{}\n" and numbers_tex({}) == ""


def test_names_are_such_that_text_can_quote_them(store):
    store.write(scored(0.5, 0.5))
    found = {"Folder: My Books, bpb": "3.00", "leapfrog + rotation": "1", "hml_best": "2"}
    assert numbers_of(recall(store), lambda _: found) == {
        "folder_my_books_bpb": "3.00", "leapfrog_rotation": "1", "hml_best": "2",
    }  # fmt: skip


def test_learning_rate_is_chosen_before_anything_is_quoted(store):
    for lr, validation, test in ((0.001, 0.9, 0.3), (0.01, 0.5, 0.8)):
        store.write(scored(validation, test, lr=lr))
    assert numbers_of(recall(store), means) == {"mean_of_hml": "0.300"}


def test_what_diverged_has_no_entry(store):
    store.write(scored(0.5, float("nan")))
    store.write(scored(0.5, 0.25, mixer="gru"))
    assert numbers_of(recall(store), means) == {"mean_of_gru": "0.250"}


def test_unfinished_tuning_is_refused(store):
    for seed, lr in ((0, 0.001), (1, 0.01)):
        store.write(scored(0.5, 0.5, seed=seed, lr=lr))
    with pytest.raises(HmlcoreError, match="share no seed"):
        numbers_of(recall(store), means)


def test_tex_macros():
    found = {"bytes_pg19_hml_bpb": "2.10", "recall_hml_seeds": "2–3", "a_b": "−0.1 %"}
    assert numbers_tex(found) == (
        "\\newcommand{\\hmlAB}{$-$0.1 \\%}\n"
        "\\newcommand{\\hmlBytesPgOneNineHmlBpb}{2.10}\n"
        "\\newcommand{\\hmlRecallHmlSeeds}{2--3}\n"
    )
    assert numbers_json(found).splitlines()[1] == ' "a_b": "−0.1 %",'
