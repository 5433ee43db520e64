"""Losses beside the task's: weighed, logged, resumed, and refused where there is none."""

import pytest
import torch
from easy import CPU, Stories, assert_identical, contents, make_config, make_model, stop_at

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import build_task
from hmlcore.training import ProcessGroup, train
from hmlcore.training.auxiliary import weights

COPY = [build_task("copy", payload=3, delay=6, alphabet=4)]


def holographic(**arguments):
    return make_model("holographic", mixer_args={"dim": 16, "lag": 4} | arguments)


def trained(model, weight, tasks=COPY, **options):
    config = {"steps": 12, "record_every": 3} | options.pop("config", {})
    return train(model, tasks, make_config(auxiliary=weight, **config), device=CPU, **options)


def test_the_loss_is_weighed_and_logged_beside_the_curve():
    points = []
    free, held = holographic(), holographic()
    plain = trained(free, 0.0)
    progress = trained(held, 3.0, config={"steps": 60}, on_point=lambda step, values: points.append(values))
    assert plain.beside == {} and list(progress.beside) == ["mixer"]
    own = progress.beside["mixer"]
    assert [step for step, _ in own] == [step for step, *_ in progress.curve] == list(range(3, 61, 3))
    assert [values["auxiliary_mixer"] for values in points] == [value for _, value in own]
    assert sum(v for _, v in own[-5:]) < 0.9 * sum(v for _, v in own[:5])
    # The curve is of the task alone: its first steps are before any update the weight could have changed.
    first = trained(holographic(), 3.0, config={"steps": 1, "record_every": 1, "warmup": 1}).curve
    assert first == trained(holographic(), 0.0, config={"steps": 1, "record_every": 1, "warmup": 1}).curve


def test_resumed_it_ends_bit_identical(tmp_path):
    def finished(file, *stops):
        for stop in (*stops, 12):
            with pytest.raises(KeyboardInterrupt):
                trained(holographic(), 0.5, checkpoint=file, run="r", after_step=stop_at(stop))
            torch.manual_seed(999)
        return contents(file)

    wanted = finished(tmp_path / "whole")
    assert_identical(finished(tmp_path / "stopped", 1, 5, 7), wanted)
    assert len(wanted[1]["beside"]["mixer"]) == 4


def test_memory_that_is_carried_is_asked_for_too():
    """The texts go on: the state that a batch begins with is in what the loss reads."""
    progress = trained(holographic(), 0.5, [Stories(begins=(3, 100, 2, 4))], config={"steps": 4})
    assert len(progress.beside["mixer"]) == 2


def test_both_losses_have_their_names():
    config = make_config(auxiliary=0.5, energy_penalty=2.0)
    assert weights(config) == {"energy": 2.0, "mixer": 0.5} and weights(make_config()) == {}


def test_what_has_no_such_loss_is_refused():
    with pytest.raises(HmlcoreError, match=r"auxiliary = 0\.5 needs a layer that has a loss of its own"):
        trained(make_model("gru"), 0.5)
    with pytest.raises(HmlcoreError, match=r"auxiliary must be at least 0 and finite, got -0\.1"):
        make_config(auxiliary=-0.1)
    with pytest.raises(HmlcoreError, match=r"lag must be within the window of T = \d+ tokens, got 40"):
        trained(holographic(lag=40), 0.5)
    group = ProcessGroup()
    group.strategy = "fsdp"
    with pytest.raises(HmlcoreError, match=r"auxiliary = 0\.5 is for one process or --parallel ddp"):
        group.check(4, 0.0, 0.5)
