"""Losses beside the task's: weighed, logged, resumed, and refused where there is none."""

import pytest
import torch
from easy import CPU, Stories, assert_identical, contents, make_config, make_model, stop_at

from hmlcore.errors import HmlcoreError
from hmlcore.layers import recording
from hmlcore.tasks import build_task
from hmlcore.training import ProcessGroup, train
from hmlcore.training.auxiliary import losses, weights

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


def test_of_several_layers_it_is_the_mean_and_each_step_draws_its_own_lag():
    model, batch = (
        make_model("holographic", layers=2, mixer_args={"dim": 16, "lag": 4}),
        COPY[0].batch("train", 0, 4, 0),
    )

    def loss(step):
        with recording(model, differentiable=True) as traces:
            model(batch.inputs)
        return losses(model, traces, COPY[0], batch, make_config(auxiliary=1.0), step)["mixer"], traces

    found, traces = loss(0)
    drawn = torch.Generator().manual_seed(1_000_003)  # seed 1, step 0
    own = [model.get_submodule(name).auxiliary(trace, drawn) for name, trace in traces.items() if trace.records]
    assert len(own) == 2 and own[0] != own[1]
    torch.testing.assert_close(found, (own[0] + own[1]) / 2)
    assert loss(0)[0] == found and len({loss(step)[0].item() for step in range(8)}) > 1


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
