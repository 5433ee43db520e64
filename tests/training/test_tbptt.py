"""Memory carried through training: no gradient crosses a batch, nothing crosses into another document."""

import itertools
from dataclasses import replace

import pytest
import torch
from easy import (
    CPU,
    TASKS,
    Stories,
    assert_identical,
    contents,
    fit,
    make_config,
    make_model,
    mean_loss,
    stop_at,
)

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.models import BackboneConfig, Classifier
from hmlcore.tasks import Batch, Continued
from hmlcore.training import train
from hmlcore.training.objective import scored_sums
from hmlcore.training.tbptt import CarriedState

HEADS = {"num_heads": 2}
BOUNDED = {
    "oscillator": ("hml", {"dynamics": "oscillator", "theta": "few", **HEADS}),
    "gated_deltanet": ("gated_deltanet", HEADS),
    "momentum_deltanet": ("momentum_deltanet", HEADS),
    "retnet": ("retnet", HEADS),
    "gru": ("gru", {}),
    "lstm": ("lstm", {}),
    "mamba": ("mamba", {}),
    "mamba2": ("mamba2", {"d_state": 4}),
    "linoss": ("linoss", {"d_state": 8}),
    "window_attention": ("window_attention", {"window": 4, **HEADS}),
}
GROWING = {"attention": HEADS, "hyena": {"filter_length": 8, "filter_width": 8}}
each_memory = pytest.mark.parametrize("name", BOUNDED)


def model_of(name, seed=0, layers=2):
    mixer, arguments = BOUNDED[name]
    return make_model(mixer, seed, mixer_args=arguments, layers=layers)


def read(model, batches, carried=None):
    """Losses of batches that go on, the way training reads them."""
    carried = carried or CarriedState(model, len(batches[0].fresh))
    losses = []
    for batch in batches:
        sums = scored_sums(model, batch, carried.begin(batch.fresh))
        carried.keep(sums.state)
        losses.append(sums.nats)
    return losses


def stories(count, **changes):
    task = Stories(**changes)
    return [task.batch("train", step, len(task.begins), 0) for step in range(count)]


@each_memory
def test_every_tensor_of_a_state_has_a_row_for_each_sequence(name):
    """What emptying single rows, and the checkpoint, rely on."""
    model, tokens = model_of(name), torch.randint(5, (3, 7))
    with torch.no_grad():
        after = model(tokens)[1]
    for state in (model.init_state(3), after):
        for block in state:
            assert isinstance(block, tuple) and {len(x) for x in block} == {3}
    if MIXERS[BOUNDED[name][0]].packs:
        for block in model(tokens.view(1, -1), cu_seqlens=[0, 4, 9, 21])[1]:
            assert {len(x) for x in block} == {3}


@each_memory
def test_carried_it_reads_as_if_all_came_at_once(name):
    """The loss of the second part is the loss of its tokens in the whole."""
    model, (first, second) = model_of(name), stories(2, begins=(9, 8, 7))
    whole = Batch(*(torch.cat([a, b], 1) for a, b in zip(first[:2], second[:2], strict=True)))
    ignored = Batch(whole.inputs, torch.cat([torch.full_like(first.targets, -100), second.targets], 1))
    carried, empty = read(model, [first, second])[1], scored_sums(model, second).nats
    torch.testing.assert_close(carried, scored_sums(model, ignored).nats, rtol=1e-5, atol=1e-5)
    assert (carried - empty).abs() > 1e-4  # and what is carried matters


@each_memory
def test_what_is_carried_is_stored_alone(name):
    model, carried = model_of(name), CarriedState(model_of(name), 2)
    read(model, stories(2, begins=(9, 8)), carried)
    kept = carried.tensors().values()
    assert sum(x.untyped_storage().nbytes() for x in kept) == 4 * 2 * model.state_size(0)
    assert not any(x.requires_grad for x in kept)


@each_memory
def test_no_gradient_crosses_from_batch_to_batch(name):
    """The gradient is that of the batch alone, read from a state that is a constant."""
    model, (first, second) = model_of(name), stories(2, begins=(9, 8, 7))
    parameters = list(model.parameters())
    with torch.no_grad():
        start = model(first.inputs)[1]
    carried = read(model, [first, second])
    left = torch.autograd.grad(carried[1], parameters, allow_unused=True)
    alone = scored_sums(model, second, start).nats
    wanted = torch.autograd.grad(alone, parameters, allow_unused=True)
    for found, right in zip(left, wanted, strict=True):
        assert (found is None) == (right is None)
        if found is not None:
            torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)
    through = scored_sums(model, second, model(first.inputs)[1]).nats
    whole = torch.autograd.grad(through, parameters, allow_unused=True)
    assert any(
        (a - b).abs().max() > 1e-6 for a, b in zip(left, whole, strict=True) if a is not None and b is not None
    )


@each_memory
def test_a_document_knows_nothing_of_the_one_before(name):
    """Where a document begins, all is as if it were read first, to the last bit."""
    model = model_of(name)
    batches = stories(4, begins=(3, 100))  # at step 3 the first row begins anew, the second goes on

    def last(seen):
        carried = CarriedState(model, 2)
        read(model, seen, carried)
        return model(batches[3].inputs, carried.begin(batches[3].fresh))

    def other(b):
        return Continued((b.inputs + 1) % 5, b.targets, b.fresh)

    usual, changed = last(batches[:3]), last([other(b) for b in batches[:3]])
    nothing = model(batches[3].inputs)
    assert torch.equal(usual[0][0], changed[0][0]) and torch.equal(usual[0][0], nothing[0][0])
    assert not torch.equal(usual[0][1], changed[0][1]) and not torch.equal(usual[0][1], nothing[0][1])
    for a, b in zip(usual[1], changed[1], strict=True):
        assert all(torch.equal(x[0], y[0]) for x, y in zip(a, b, strict=True))


def test_training_reads_on():
    """The curve of `train` is that of reading on by hand, and not that of forgetting at every batch."""
    task, batches = Stories(), stories(5)
    config = make_config(steps=5, record_every=1, lr=1e-12, warmup=0)
    found = [loss for _, loss, _ in train(make_model("gru"), [task], config, device=CPU).curve]
    with torch.no_grad():
        wanted = [float(nats) / (4 * task.length) for nats in read(make_model("gru"), batches)]
        forgetful = [float(mean_loss(make_model("gru"), b)[0]) for b in batches]
    assert found == pytest.approx(wanted, rel=1e-6)
    assert found[0] == pytest.approx(forgetful[0], rel=1e-6)
    assert all(abs(a - b) > 1e-5 for a, b in zip(found[1:], forgetful[1:], strict=True))


@each_memory
def test_interrupted_anywhere_it_ends_bit_identical(name, tmp_path):
    def finished(file, *stops):
        for stop in (*stops, 8):
            with pytest.raises(KeyboardInterrupt):
                train(
                    model_of(name, layers=1), [Stories()], make_config(steps=8), device=CPU, checkpoint=file,
                    run="r", after_step=stop_at(stop),
                )  # fmt: skip
            torch.manual_seed(999)
        return contents(file)

    wanted = finished(tmp_path / "whole")
    assert any(tensor.startswith("carried.0.") for tensor in wanted[0])
    assert_identical(finished(tmp_path / "stopped", 1, 4, 7), wanted)


def test_the_state_in_a_checkpoint_must_fit(tmp_path):
    """A file of a run that carried nothing, or other shapes, would go on with the wrong memory."""
    file = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        fit(make_model("gru"), checkpoint=file, after_step=stop_at(3))
    with pytest.raises(
        HmlcoreError, match=r"the carried state has the shapes \{\}, the run needs \{'0\.hidden'"
    ):
        train(make_model("gru"), [Stories()], make_config(), device=CPU, checkpoint=file)


# What is refused, before the first step

ONE_TASK = (Stories(),)


def refused(message, model, tasks=ONE_TASK, **changes):
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(HmlcoreError, match=message):
        train(model, tasks, make_config(**changes), device=CPU, after_step=lambda step: pytest.fail("it began"))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("mixer", GROWING)
def test_a_memory_that_grows_is_refused(mixer):
    grows = (
        rf"'stories' goes on .* mixer '{mixer}' grows with the text \(\d+ floats after 6 tokens, \d+ after 12\)"
    )
    refused(grows, make_model(mixer, mixer_args=GROWING[mixer]))


def test_several_tasks_are_refused():
    message = "'stories' goes on from batch to batch and must be the only one, got 2 tasks"
    for tasks in ([Stories(), TASKS[0]], [TASKS[0], Stories()], [Stories(), Stories(seed=1)]):
        refused(message, make_model("gru"), tasks)


def test_a_classifier_is_refused():
    model = Classifier(BackboneConfig(TASKS[0].vocab_size, "gru", 8, 1, 12), 3)
    refused("needs a model of tokens, not a classifier", model)


def test_another_number_of_rows_is_refused():
    message = r"batch_size = 3, but a batch that goes on has fresh of shape \(4,\)"
    refused(message, make_model("gru"), batch_size=3)

    class Shrinks(Stories):
        def batch(self, split, index, batch_size, seed):
            whole = super().batch(split, index, batch_size, seed)
            return whole if index < 2 else Continued(*(x[:3] for x in whole))

    with pytest.raises(HmlcoreError, match=r"batch_size = 4, but .* fresh of shape \(3,\)"):
        train(make_model("gru"), [Shrinks()], make_config(), device=CPU)


def test_a_penalty_on_energy_is_refused():
    model = make_model("hml", mixer_args={"dynamics": "leapfrog", **HEADS})
    refused("energy_penalty = 0.1 needs batches that begin empty; task 'stories'", model, energy_penalty=0.1)


def test_stories_tell_apart_what_goes_on():
    """The task of these tests: what follows where not fresh is the next stretch of the same document."""
    task = replace(Stories(), begins=(2, 3))
    batches = [task.batch("train", i, 2, 0) for i in range(7)]
    assert [b.fresh[0].item() for b in batches[:4]] == [True, False, True, False]
    assert [b.fresh[1].item() for b in batches[:4]] == [True, False, False, True]
    for before, after in itertools.pairwise(batches):
        for row in (0, 1):
            assert bool(after.fresh[row]) or before.targets[row, -1] == after.inputs[row, 0]
