"""Numbers for prose: hand-computed from made-up runs, absent where nothing was measured."""

import pytest
from made_up import provenance, run

from hmlcore.results import Store
from hmlcore.results.text import bytes_text, signed, three
from hmlcore.studies.kit.numbers import numbers, numbers_json, numbers_tex


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.93, "0.930"), (1, "1.00"), (12.345, "12.3"), (123.4, "123"), (1234.5, "1,234"), (0, "0.00")],
)
def test_three_digits(value, text):
    assert three(value) == text


def test_other_formats():
    assert [bytes_text(n) for n in (512, 16384, 5 * 2**20, 3 * 2**30)] == ["512 B", "16 KiB", "5 MiB", "3 GiB"]
    assert (signed(-0.1104), signed(0.02)) == ("−0.110", "+0.020")


def test_empty_store_has_no_numbers(store):
    assert numbers(store, "smoke") == {}
    assert numbers_json({}) == "{}\n" and numbers_tex({}) == ""


def test_copy(store):
    train = [{"task": "copy", "payload": p, "delay": d} for p in (4, 8) for d in (0, 32)]

    def exact(payload, delay, value):
        return {"metric": "exact", "payload": payload, "delay": delay, "value": value, "n": 10}

    for seed, gain in ((0, 0.0), (1, 0.1)):
        inside = [exact(4, 8, 0.8 + gain), exact(8, 32, 0.6 + gain)]
        outside = [exact(8, 512, 0.2 + gain), exact(16, 512, 0.0), exact(16, 8, 0.0)]
        store.write(run([*inside, *outside], seed=seed, train=train))
    found = numbers(store, "smoke")
    assert found["copy_hml_trained"] == "0.750" and found["copy_hml_longest"] == "0.250"
    assert (found["copy_payload_trained"], found["copy_delay_trained"]) == ("8", "32")
    assert found["copy_delay_longest"] == "512"
    assert (found["copy_runs"], found["copy_seeds"], found["copy_device"]) == ("2", "2", "CPU")
    assert (found["copy_hml_parameters"], found["copy_hml_lr"]) == ("1,000", "0.003")


def test_recall_reports_the_best_width_and_its_state(store):
    train = [{"task": "mqar", "pairs": 8, "length": 64}]
    for width, state, values in ((32, 4096, (0.5, 0.6)), (64, 16384, (0.9, 0.7))):
        for seed, value in enumerate(values):
            rows = [{"metric": "accuracy", "pairs": 8, "value": value, "n": 64}]
            rows += [{"metric": "accuracy", "pairs": 64, "value": value / 2, "n": 64}]
            made = provenance(state_bytes=state, parameters=1000 * width)
            run_ = run(rows, made=made, experiment="recall", d_model=width, seed=seed, train=train)
            store.write(run_)
    found = numbers(store, "smoke")
    assert (found["recall_hml_best"], found["recall_hml_best_state"]) == ("0.800", "16 KiB")
    assert found["recall_hml_most"] == "0.400"
    assert (found["recall_pairs_trained"], found["recall_pairs_most"]) == ("8", "64")
    assert found["recall_hml_parameters"] == "32,000–64,000"


def test_bytes_by_corpus_with_paired_difference(store):
    def write(mixer, seed, value, corpus):
        at = {"metric": "bits_per_byte", "corpus": corpus, "n": 100}
        rows = [{**at, "context": 256, "value": value}, {**at, "context": 1024, "value": value + 0.5}]
        train = [{"task": "bytes", "corpus": corpus, "length": 256}]
        store.write(run(rows, experiment="bytes", mixer=mixer, seed=seed, train=train))

    write("hml", 0, 2.0, "stdlib")
    write("hml", 1, 2.2, "stdlib")
    write("hml", 2, 9.0, "stdlib")  # attention has no such seed: it must not enter the difference
    write("attention", 0, 2.1, "stdlib")
    write("attention", 1, 2.5, "stdlib")
    write("attention", 0, 3.0, "folder:My Books")
    found = numbers(store, "smoke")
    assert found["bytes_stdlib_hml_minus_attention"] == "−0.200"
    assert found["bytes_stdlib_attention_bpb"] == "2.30"
    assert found["bytes_stdlib_attention_bpb_long"] == "2.80"
    assert found["bytes_folder_my_books_attention_bpb"] == "3.00"
    assert (found["bytes_context"], found["bytes_context_long"]) == ("256", "1,024")


def test_learning_rate_is_chosen_before_anything_is_quoted(store):
    for lr, validation, test in ((0.001, 0.9, 0.3), (0.01, 0.5, 0.8)):
        rows = [{"metric": "accuracy", "split": "validation", "pairs": 8, "value": validation, "n": 64}]
        rows += [{"metric": "accuracy", "pairs": 8, "value": test, "n": 64}]
        store.write(run(rows, experiment="recall", lr=lr, train=[{"pairs": 8}]))
    found = numbers(store, "smoke")
    assert (found["recall_hml_best"], found["recall_hml_lr"]) == ("0.300", "0.001")


def test_what_is_missing_has_no_entry(store):
    store.write(run([{"metric": "loss", "value": 1.0, "step": 1, "split": "train"}]))
    rows = [{"metric": "accuracy", "value": float("nan"), "pairs": 8, "n": 10}]
    store.write(run(rows, experiment="recall", train=[{"pairs": 8}]))
    found = numbers(store, "smoke")
    assert found["copy_runs"] == "1" and "copy_hml_trained" not in found
    assert "recall_hml_best" not in found and "recall_hml_most" not in found
    assert all("nan" not in value for value in found.values())


def test_unfinished_tuning_is_left_out(store):
    for seed, lr in ((0, 0.001), (1, 0.01)):
        store.write(
            run([{"metric": "accuracy", "split": "validation", "value": 0.5, "n": 1}], seed=seed, lr=lr)
        )
    assert numbers(store, "smoke") == {}


def test_tex_macros():
    found = {"bytes_pg19_hml_bpb": "2.10", "recall_hml_seeds": "2–3", "a_b": "−0.1 %"}
    assert numbers_tex(found) == (
        "\\newcommand{\\hmlAB}{$-$0.1 \\%}\n"
        "\\newcommand{\\hmlBytesPgOneNineHmlBpb}{2.10}\n"
        "\\newcommand{\\hmlRecallHmlSeeds}{2--3}\n"
    )
    assert numbers_json(found).splitlines()[1] == ' "a_b": "−0.1 %",'


def listops(store, mixer, seed, direction, values, experiment="lra_listops"):
    rows = []
    for length, value in zip((32, 64, 128), values, strict=True):
        at = {"length": length, "direction": direction, "n": 100}
        rows.append({"metric": "accuracy", "value": value, **at})
        rows.append({"metric": "majority", "value": length / 1000, **at})
        rows.append({"metric": "accuracy", "split": "validation", "value": 0.99, **at})
    rows.append({"metric": "accuracy", "split": "train", "step": 1, "value": 0.98, "direction": direction})
    train = [{"task": "listops", "max_length": length, "training_examples": 20_000} for length in (32, 64)]
    changes = {"experiment": experiment, "mixer": mixer, "seed": seed, "direction": direction}
    store.write(run(rows, train=train, **changes))


def test_listops_by_direction(store):
    listops(store, "mamba2", 0, "causal", (0.6, 0.4, 0.2))
    listops(store, "mamba2", 1, "causal", (0.8, 0.6, 0.3))
    listops(store, "mamba2", 0, "bidirectional", (0.9, 0.7, 0.1))
    listops(store, "gru", 0, "causal", (0.5, 0.5, 0.5))
    found = numbers(store, "smoke")
    assert found["lra_listops_mamba2_trained"] == "0.600"
    assert found["lra_listops_mamba2_longest"] == "0.250"
    assert found["lra_listops_mamba2_both"] == "0.800" and "lra_listops_gru_both" not in found
    assert (found["lra_listops_floor"], found["lra_listops_floor_longest"]) == ("0.0480", "0.128")
    assert (found["lra_listops_length_trained"], found["lra_listops_length_longest"]) == ("64", "128")
    assert (found["lra_listops_examples"], found["lra_listops_examples_tested"]) == ("20,000", "100")
    assert "\\hmlLraListopsMambaTwoTrained}{0.600}" in numbers_tex(found)


def test_reviews_are_quoted_as_listops_is(store):
    listops(store, "hml", 0, "causal", (0.6, 0.4, 0.2), experiment="lra_text")
    found = numbers(store, "smoke")
    assert (found["lra_text_hml_trained"], found["lra_text_hml_longest"]) == ("0.500", "0.200")
    assert found["lra_text_floor_longest"] == "0.128" and "lra_listops_hml_trained" not in found


def timed(store, mixer, seconds, seed=0, metric="seconds_train", batch=1, **made):
    rows = [
        {"metric": metric, "value": value, "length": length, "batch": batch}
        for length, value in zip((128, 512, 2048), seconds, strict=True)
    ]
    store.write(run(rows, made=provenance(**made), experiment="speed", mixer=mixer, seed=seed, lr=None))


def test_speed_against_attention(store):
    timed(store, "attention", (1.0, 4.0, 16.0))
    timed(store, "attention", (1.0, 4.0, 18.0), seed=1)
    timed(store, "attention", (1.0, 4.0, 90.0), seed=2)  # disturbed: the median leaves it out
    timed(store, "gru", (0.5, 5.0, 6.0))  # ahead, behind, ahead: it stays ahead from 2048 on
    timed(store, "hml", (2.0, 8.0, 36.0))
    found = numbers(store, "smoke")
    assert found["speed_longest"] == "2,048"
    assert found["speed_gru_ratio_attention_longest"] == "0.333" and found["speed_gru_crossover"] == "2,048"
    assert found["speed_hml_ratio_attention_longest"] == "2.00" and "speed_hml_crossover" not in found
    assert found["speed_runs"] == "5" and "speed_hml_lr" not in found
    assert "speed_decode_longest" not in found


def test_speed_where_attention_stops_early(store):
    timed(store, "attention", (1.0, 4.0, float("nan")), metric="seconds_decode")
    timed(store, "gru", (0.5, 1.0, 2.0), metric="seconds_decode")
    found = numbers(store, "smoke")
    assert found["speed_decode_longest"] == "512"
    assert found["speed_decode_gru_ratio_attention_longest"] == "0.250"
    assert found["speed_decode_gru_crossover"] == "128"


@pytest.mark.parametrize("made", [{"device": "cuda"}, {"started_at": "2026-01-02T00:00:00+00:00"}])
def test_times_that_were_not_taken_side_by_side_are_not_compared(store, made):
    timed(store, "attention", (1.0, 4.0, 16.0))
    timed(store, "gru", (1.0, 2.0, 3.0), **made)
    assert not [name for name in numbers(store, "smoke") if "ratio" in name or "crossover" in name]


def test_books(store):
    def write(mixer, seed, value, variant="windows", lr=0.003, chosen=6.0):
        own = {"task": "bpe", "variant": variant}
        rows = [{"metric": "bits_per_token", "split": "validation", "context": 256, "value": chosen}]
        rows += [
            {"metric": "bits_per_byte", "context": context, "document": document, "value": value + change + off}
            for context, change in ((256, 0.0), (4096, -0.1))
            for document, off in (("Emma", 0.3), ("Kim", 0.5), ("all", 0.0))
        ]
        rows = [{"n": 10, **row, **own} for row in rows]
        store.write(run(rows, experiment="pg19", mixer=mixer, seed=seed, lr=lr, **own))

    write("hml", 0, 2.0)
    write("hml", 1, 2.2)
    write("gated_deltanet", 0, 1.95)  # no second seed: HML's stays out of the difference
    write("hml", 0, 9.0, variant="carried")
    write("hml", 0, 9.0, lr=0.01, chosen=7.0)
    found = numbers(store, "smoke")
    assert (found["pg19_context"], found["pg19_context_long"], found["pg19_books"]) == ("256", "4,096", "2")
    assert (found["pg19_hml_bpb"], found["pg19_hml_bpb_long"]) == ("2.100", "2.000")
    assert found["pg19_hml_minus_gated_deltanet"] == "+0.050" and found["pg19_hml_lr"] == "0.003"


def test_books_that_were_only_tuned_have_no_scores(store):
    own = {"task": "bpe", "variant": "tuning"}
    rows = [{"metric": "bits_per_token", "split": "validation", "context": 256, "value": 6.0, "n": 1, **own}]
    store.write(run(rows, experiment="pg19", **own))
    assert not [name for name in numbers(store, "smoke") if "bpb" in name or "context" in name]
