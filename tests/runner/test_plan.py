"""`hml plan`: what runs ask is counted out of specs, and what it takes out of what was measured."""

import re

import pytest
import torch
from made_up import provenance
from tiny_runs import tiny

from hmlcore import cli, paths
from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.speed import peak_memory
from hmlcore.results import Run, Store
from hmlcore.runner import plan as module
from hmlcore.runner.demand import STATE_BYTES, Demand, demand, grouped
from hmlcore.runner.model import build_model
from hmlcore.runner.plan import TFLOPS, UTILISATION, plan
from hmlcore.runner.ratios import ratios
from hmlcore.studies import protocol
from hmlcore.studies.kit.comparison import task_from

FLOPS, SPEED = 1e6, 1e4


def trained(mixer, experiment="copy", profile="laptop", device="cpu", tokens_per_s=SPEED, seed=0):
    spec = tiny(mixer, seed=seed) | {"experiment": experiment, "profile": profile}
    made = provenance(device=device, tokens_per_s=tokens_per_s, flops_per_token=FLOPS)
    rows = [
        {"metric": "loss", "split": "train", "step": 1, "value": 1.0},
        {"metric": "accuracy", "value": 0.5, "n": 2, "length": 99, "flops_per_token": 7 * FLOPS},
    ]
    return Run(spec, made, rows)


@pytest.fixture
def store(own_folders):
    """Attention, and HML at half its speed in one experiment and a quarter in another."""
    store = Store(own_folders / "results")
    for run in (
        trained("attention"), trained("hml", tokens_per_s=SPEED / 2), trained("attention", "recall"),
        trained("hml", "recall", tokens_per_s=SPEED / 4), trained("gru", "pg19"),
    ):  # fmt: skip
        store.write(run)
    return store


@pytest.fixture
def asked(monkeypatch):
    """What the grids are made to ask: 10 runs of HML and one of attention, and of the unmeasured LSTM."""
    entries = {
        "copy": [Demand("hml", 10, 1000, 3.6e15, 1e9, 0), Demand("attention", 1, 3000, 3.6e15, 2e9, 0)],
        "recall": [Demand("lstm", 1, 1000, 3.6e15, 1e9, 0)],
    }
    monkeypatch.setattr(module, "demands", lambda profile: entries)


COPY = {s["mixer"]: s for s in protocol("synthetic_gradient").grid("laptop")}


@pytest.mark.parametrize("mixer", ["hml", "attention", "mamba", "lstm"])
def test_operations_are_those_of_the_model_and_memory_is_near_what_a_step_holds(mixer):
    """Operations to 1 %, as near as parameters are to be met; memory, out of what one layer of the committed
    speed study held, to a factor of 2.5."""
    spec = COPY[mixer]
    asked, model = demand(spec), build_model(spec, task_from(spec["train"][0]))
    lengths = [task_from(task).length for task in spec["train"]]
    sequences = spec["steps"] * spec["batch_size"] / len(lengths)
    assert asked.tokens == pytest.approx(sum(lengths) * sequences)
    flops = sum(3 * model.flops_per_token(n) * n * sequences for n in lengths)
    for entry in spec["evaluate"]:
        task = task_from(entry)
        flops += model.flops_per_token(task.length) * task.length * entry["examples"]
    assert asked.flops == pytest.approx(flops, rel=0.015)
    longest = max(map(task_from, spec["train"]), key=lambda task: task.length)
    x = torch.randint(0, longest.vocab_size, (spec["batch_size"], longest.length))

    def step():
        model.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x)[0].flatten(0, 1), x.flatten()).backward()

    step()
    model.zero_grad(set_to_none=True)
    measured = ratios(Store(paths.root() / "results")).memory[spec["mixer"]]
    # Of the 16 bytes a parameter, a step without an optimiser holds the gradient alone.
    expected = asked.fixed_bytes + asked.channels * measured - (STATE_BYTES - 4) * model.parameter_count
    assert expected / 2.5 < peak_memory(step, torch.device("cpu"))[0] < 2.5 * expected


def test_what_asks_the_same_is_counted_together():
    one, other = demand(tiny("hml")), demand(tiny("hml", steps=12))
    assert other.tokens == 2 * one.tokens and other.fixed_bytes == one.fixed_bytes
    assert sorted(grouped([one, other, one])) == sorted([one._replace(runs=2), other])


def test_hours_follow_the_measured_ratios_and_the_assumption(store, asked):
    """A training at 1 TFLOP/s does 3.6e15 operations an hour; HML has 3/8 of attention's speed."""
    found = plan(store, "full", ["copy", "recall"], tflops=10.0, utilisation=0.1)
    copy, recall, every = found.lines
    assert copy.hours == pytest.approx(10 / (3 / 8) + 1)
    assert recall.hours == pytest.approx(1 / (3 / 8))
    assert "taken as the slowest: lstm" in found.note and "assumed: 0.1 of 10 TFLOP/s" in found.note
    assert every[:4] == ("all", 12, (1000, 3000), 12 * 3.6e15)
    assert every.hours == pytest.approx(copy.hours + recall.hours) and every.memory == 2e9
    assert plan(store, "full", ["copy"], tflops=10.0, utilisation=0.2).lines[0].hours == copy.hours / 2
    usual = plan(store, "full", ["copy"]).lines[0].hours
    assert usual == pytest.approx(copy.hours / (TFLOPS * UTILISATION))


def test_trainings_on_a_gpu_replace_the_assumption_and_the_cpus_ratios(store, asked):
    store.write(trained("attention", profile="full", device="NVIDIA X", tokens_per_s=1e6))
    store.write(trained("hml", profile="full", device="NVIDIA X", tokens_per_s=2e6))
    found = plan(store, "full", ["copy"])
    rate = 3 * FLOPS * 1e6
    assert found.lines[0].hours == pytest.approx((10 / 2 + 1) * 3.6e15 / rate / 3600)
    assert f"measured: {rate / 1e12:.3g} TFLOP/s in training attention on NVIDIA X" in found.note
    assert plan(store, "full", ["copy"], utilisation=0.1).lines[0].hours != found.lines[0].hours


def test_without_a_training_of_attention_it_says_how_to_make_one(own_folders):
    with pytest.raises(
        HmlcoreError, match=r"no training of attention is stored in .*hml run copy --profile lap"
    ):
        plan(Store(own_folders / "results"), "full", ["copy"])


def test_the_table_has_a_line_an_experiment(store, asked, capsys):
    assert cli.main(["plan", "copy", "recall", "--tflops", "10", "--utilisation", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["experiment", "copy", "recall", "all"]
    assert len({len(line) for line in lines[:4]}) == 1
    assert re.search(r"^copy +11 +0.001 M to 0.003 M +4e\+16 +28 +1.86 GiB$", lines[1])
    assert plan(store, "full", ["copy"]).html().count("<tr") == 2
