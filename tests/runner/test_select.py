"""Choosing runs of a grid, and the machines a profile may run on."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.runner.model import check_machine
from hmlcore.runner.select import select
from hmlcore.studies import protocol

COPY = protocol("copy").grid("full")
RECALL = protocol("recall").grid("laptop")
BOOKS = protocol("pg19").grid("laptop")


def test_without_conditions_it_is_the_grid():
    assert select(COPY) == COPY


def test_conditions_are_met_together_and_values_are_alternatives():
    found = select(COPY, {"mixer": ["hml", "gru"], "lr": ["0.003"]}, seeds=[0, 2])
    wanted = [s for s in COPY if s["mixer"] != "attention" and s["lr"] == 0.003 and s["seed"] in (0, 2)]
    assert found == wanted and len(wanted) == 4


def test_fields_of_model_and_task_count():
    assert {s["model"]["d_model"] for s in select(RECALL, {"d_model": ["32"]})} == {32}
    assert {s["train"][0]["tokenizer"] for s in select(BOOKS, {"tokenizer": ["bytes"]})} == {"bytes"}
    assert select(COPY, {"payload": ["8"]}) == COPY


@pytest.mark.parametrize(
    ("specs", "only", "seeds", "message"),
    [
        (COPY, {"mixer": ["lstm"]}, None, "unknown mixer in --only 'lstm'; known: attention, gru, hml"),
        (COPY, {"lr": ["3e-3"]}, None, r"unknown lr in --only '3e-3'; known: 0.001, 0.003"),
        (RECALL, {"d_model": ["32", "48"]}, None, "unknown d_model in --only '48'; known: 32, 64"),
        (
            COPY,
            {"width": ["3"]},
            None,
            "field in --only 'width'; known: d_model, layers, lr, mixer, seed$",
        ),
        (COPY, {"corpus": ["stdlib"]}, None, "unknown field in --only 'corpus'; known: d_model, layers"),
        (BOOKS, {"x": ["1"]}, None, "known: d_model, layers, lr, mixer, seed, task, variant$"),
        (COPY, {}, [0, 9], r"seed 9 is not in the grid; known: \[0, 1, 2, 3, 4\]"),
        (COPY, {"seed": ["0"]}, [1], r"seed 1 is not in the grid; known: \[0\]"),
        (COPY, {}, [], "no run of the grid matches"),
    ],
)
def test_what_the_grid_does_not_have_is_refused(specs, only, seeds, message):
    with pytest.raises(HmlcoreError, match=message):
        select(specs, only, seeds)


CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
def test_small_profiles_run_anywhere(profile):
    check_machine(profile, CPU, dirty=True, force=False)


def test_full_needs_a_gpu_and_committed_code_unless_forced():
    check_machine("full", GPU, dirty=False, force=False)
    with pytest.raises(HmlcoreError, match="profile 'full' needs a GPU and this machine has none; add --force"):
        check_machine("full", CPU, dirty=False, force=False)
    with pytest.raises(HmlcoreError, match=r"profile 'full' needs committed code .* add --force"):
        check_machine("full", GPU, dirty=True, force=False)
    with pytest.raises(
        HmlcoreError, match=r"profile 'full' needs committed code and Git does not say .* --force"
    ):
        check_machine("full", GPU, dirty=None, force=False)
    check_machine("full", GPU, dirty=None, force=True)
    check_machine("full", CPU, dirty=True, force=True)
