"""The penalty on energy: what it measures, how it trains, and that nothing changes without it."""

import pytest
import torch
from easy import CPU, TASKS, assert_identical, contents, fit, make_config, make_model, mean_loss, stop_at

from hmlcore.errors import HmlcoreError
from hmlcore.layers import recording
from hmlcore.layers.trace import Trace
from hmlcore.tasks import build_task
from hmlcore.training import TrainingConfig, train
from hmlcore.training.energy import blank_of, energy_change

SILENT = [build_task("copy", payload=2, delay=d, alphabet=4) for d in (2, 3)]
LEAPFROG = {"num_heads": 2, "dynamics": "leapfrog"}


def moving(seed=0, **arguments):
    return make_model("hml", seed, mixer_args=LEAPFROG | arguments)


def trained(model, penalty=0.0, tasks=SILENT, **options):
    return train(model, tasks, make_config(energy_penalty=penalty), device=CPU, **options)


def weights(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


def made_up(kinetic, potential):
    """A trace of [B, T, H] energies."""
    trace = Trace(differentiable=True)
    trace.add(kinetic=torch.tensor(kinetic), potential=torch.tensor(potential))
    return trace


# What it measures


def test_the_change_is_the_mean_over_pairs_of_blanks():
    """H = 1, 2, 3, 6, 3 in one head and 1, 1, 1, 1, 2 in the other; blanks at 1, 2, 4."""
    kinetic = [[[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [5.0, 0.5], [1.0, 1.5]]]
    potential = [[[0.0, 0.5], [1.0, 0.5], [2.0, 0.5], [1.0, 0.5], [2.0, 0.5]]]
    trace = made_up(kinetic, potential)
    found = energy_change({"a": trace}, torch.tensor([[False, True, True, False, True]]))
    assert found.item() == pytest.approx((1 / 2 + 0) / 2, rel=1e-5)  # one pair: 2 → 3, and 1 → 1
    found = energy_change({"a": trace}, torch.tensor([[False, True, True, True, True]]))
    assert found.item() == pytest.approx((1 / 2 + 1 + 1 / 2 + 0 + 0 + 1) / 6, rel=1e-5)


def test_layers_weigh_alike_and_those_without_momentum_are_left_out():
    blank = torch.ones(1, 2, dtype=torch.bool)
    two, five = made_up([[[1.0], [2.0]]], [[[0.0], [0.0]]]), made_up([[[1.0], [5.0]]], [[[0.0], [0.0]]])
    one_row = Trace()
    one_row.add(potential=torch.ones(1, 2, 1))
    traces = {"a": two, "b": five, "c": one_row, "d": Trace()}
    assert energy_change(traces, blank).item() == pytest.approx((1 + 4) / 2, rel=1e-5)


def test_an_empty_memory_that_stays_empty_changes_nothing():
    trace = made_up([[[0.0], [0.0], [0.0]]], [[[0.0], [0.0], [0.0]]])
    assert energy_change({"a": trace}, torch.ones(1, 3, dtype=torch.bool)).item() == 0


def double_model():
    model = moving().double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return model


def change_of(model, inputs):
    with recording(model, differentiable=True) as traces:
        model(inputs)
    return energy_change(traces, inputs == SILENT[0].blank)


def test_its_gradient_is_the_slope_of_what_it_measures():
    model, inputs = double_model(), SILENT[1].batch("train", 0, 3, 0).inputs
    change = change_of(model, inputs)
    mixer = model.blocks[0].mixer
    learned = [mixer.rule.log_h, mixer.gate_proj.weight, mixer.in_proj.weight, model.embedding.weight]
    for p, grad in zip(learned, torch.autograd.grad(change, learned), strict=True):
        way = torch.randn(p.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        with torch.no_grad():
            sides = []
            for step in (1e-6, -2e-6):
                p.add_(step * way)
                sides.append(change_of(model, inputs).item())
            p.add_(1e-6 * way)
        slope = (grad * way).sum().item()
        assert abs(slope) > 1e-6
        assert slope == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)


# Recording


def test_recording_keeps_the_graph_only_if_asked():
    model, inputs = double_model(), SILENT[0].batch("train", 0, 2, 0).inputs
    plain, _ = model(inputs)
    for differentiable in (False, True):
        with recording(model, differentiable=differentiable) as traces:
            found, _ = model(inputs)
        assert torch.equal(found, plain)
        (trace,) = (t for t in traces.values() if t.records)
        for name in ("kinetic", "potential", "state", "error"):
            assert trace[name].requires_grad == differentiable, name
    with recording(model) as traces:
        model(inputs)
    assert not next(t for t in traces.values() if t.records)["kinetic"].requires_grad
    with torch.no_grad(), recording(model, differentiable=True) as traces:
        model(inputs)
    assert not next(t for t in traces.values() if t.records)["kinetic"].requires_grad


def test_what_is_recorded_is_the_same_either_way():
    model, inputs = double_model(), SILENT[0].batch("train", 0, 2, 0).inputs
    kept = []
    for differentiable in (False, True):
        with recording(model, differentiable=differentiable) as traces:
            model(inputs)
        kept.append(next(t for t in traces.values() if t.records))
    assert kept[0].records[0].keys() == kept[1].records[0].keys()
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0].records[0])


# Training


def test_without_a_penalty_training_is_what_it_was_to_the_bit(monkeypatch):
    def never(*_, **__):
        raise AssertionError("recorded without a penalty")

    with monkeypatch.context() as patch:
        patch.setattr("hmlcore.training.loop.recording", never)
        patch.setattr("hmlcore.training.auxiliary.energy_change", never)
        zero = moving()
        given = trained(zero, 0.0)
    plain = moving()
    curve = train(plain, SILENT, TrainingConfig(**vars_of_default()), device=CPU).curve
    assert given.curve == curve
    assert all(torch.equal(x, weights(zero)[name]) for name, x in weights(plain).items())


def vars_of_default():
    values = dict(vars(make_config()))
    assert values.pop("energy_penalty") == 0.0
    return values


def test_a_penalty_trains_towards_less_change():
    def change(model):
        with torch.no_grad():
            return sum(change_of(model, t.batch("test", 0, 16, 0).inputs).item() for t in SILENT)

    free, held = moving(), moving()
    start = change(free)
    trained(free)
    trained(held, 3.0)
    assert change(held) < 0.8 * change(free) and change(held) < start


def test_the_curve_has_the_loss_without_the_penalty():
    """The first point of the curve is before any update that the penalty could have changed."""
    values = {}
    for penalty in (0.0, 100.0):
        model = moving()
        config = make_config(energy_penalty=penalty, steps=2, record_every=1, warmup=1)
        values[penalty] = [loss for _, loss, _ in train(model, SILENT, config, device=CPU).curve]
    loss, _ = mean_loss(moving(), SILENT[0].batch("train", 0, 4, 1))
    assert values[0.0][0] == values[100.0][0] == loss.item()
    assert values[0.0][1] != values[100.0][1]


@pytest.mark.parametrize("damping", [None, 1.0])
def test_resumed_with_a_penalty_it_ends_bit_identical(damping, tmp_path):
    """Undamped, some parameters get no gradient and the optimiser keeps nothing for them."""

    def finished(file, *stops):
        for stop in (*stops, 12):
            with pytest.raises(KeyboardInterrupt):
                trained(moving(damping=damping), 0.1, checkpoint=file, run="r", after_step=stop_at(stop))
            torch.manual_seed(999)
        return contents(file)

    wanted = finished(tmp_path / "whole")
    assert_identical(finished(tmp_path / "stopped", 1, 6, 7), wanted)


# What is refused


def test_a_negative_penalty_is_refused():
    with pytest.raises(HmlcoreError, match=r"energy_penalty must be at least 0 and finite, got -0\.1"):
        make_config(energy_penalty=-0.1)
    with pytest.raises(HmlcoreError, match="energy_penalty must be at least 0 and finite, got nan"):
        make_config(energy_penalty=float("nan"))


def test_a_batch_without_two_blanks_in_a_row_is_refused():
    with pytest.raises(HmlcoreError, match="energy_penalty needs two blank tokens in a row; a batch has none"):
        energy_change({}, torch.tensor([[True, False, True]]))
    short = build_task("copy", payload=2, delay=1, alphabet=4, cue="previous")
    with pytest.raises(HmlcoreError, match="two blank tokens in a row"):
        trained(moving(), 0.1, [short])


@pytest.mark.parametrize("mixer", ["attention", "gru", "hml"])
def test_a_model_without_momentum_is_refused(mixer):
    """HML's default has one row."""
    with pytest.raises(HmlcoreError, match="energy_penalty needs a layer with momentum: mixer 'hml' with two"):
        trained(make_model(mixer), 0.1)


def test_a_task_without_blanks_is_refused():
    task = build_task("overwrite", keys=2, writes=4, vocab=34)
    with pytest.raises(HmlcoreError, match="energy_penalty needs a task with blanks, such as copy; overwrite"):
        blank_of(task)
    assert blank_of(TASKS[0]) == TASKS[0].blank == 4
    sizes = {"mixer_args": LEAPFROG}
    with pytest.raises(HmlcoreError, match="overwrite has none"):
        model = make_model("hml", **sizes)
        model.embedding = torch.nn.Embedding(task.vocab_size, 8)
        trained(model, 0.1, [task])


def test_the_usual_training_has_no_penalty():
    assert make_config().energy_penalty == 0.0 and fit(make_model()).step == 12
