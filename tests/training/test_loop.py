"""The training loop: it learns, it clips, it stops where it should."""

import math
import signal
import threading
import time

import pytest
import torch
import torch.nn.functional as F
from easy import CPU, MIXERS, TASKS, fit, make_config, make_model, mean_loss

from hmlcore.errors import HmlcoreError
from hmlcore.models import BackboneConfig, Classifier
from hmlcore.tasks import IGNORE, Labelled, build_task
from hmlcore.training import Paused, autocast, train
from hmlcore.training.objective import on_device, scored, scored_sums
from hmlcore.training.optim import build_optimizer, learning_rate, set_rate


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_loss_falls_on_an_easy_task(mixer):
    model = make_model(mixer, d_model=16, d_ff=32)
    config = make_config(steps=60, lr=0.03, warmup=5, batch_size=16, record_every=10)
    progress = train(model, TASKS[:1], config, device=CPU)
    first, last = progress.curve[0][1], progress.curve[-1][1]
    assert last < 0.6 * first, progress.curve
    assert last < math.log(4)  # less than knowing only which symbols there are


def test_progress_counts_what_was_done():
    began = time.monotonic()
    progress = fit(make_model())
    assert progress.step == 12 and progress.pending == []
    assert [step for step, _, _ in progress.curve] == [5, 10, 12]
    assert progress.tokens == 4 * (6 * TASKS[0].length + 6 * TASKS[1].length)
    assert 0 < progress.seconds <= time.monotonic() - began


def test_the_curve_is_the_mean_since_its_last_point(monkeypatch):
    found = []

    def noted(model, batch, state):
        sums = scored_sums(model, batch, state)
        found.append([value.item() / scored(batch) for value in sums[:2]])
        return sums

    monkeypatch.setattr("hmlcore.training.objective.scored_sums", noted)
    curve = fit(make_model()).curve
    for column in (0, 1):
        values = [pair[column] for pair in found]
        means = [sum(values[a:b]) / (b - a) for a, b in ((0, 5), (5, 10), (10, 12))]
        assert [at[1 + column] for at in curve] == pytest.approx(means, rel=1e-6)
    assert any(accuracy > 0 for _, _, accuracy in curve)


def test_each_point_of_the_curve_is_passed_on():
    seen = []
    progress = fit(make_model(), on_point=lambda step, values: seen.append((step, values)))
    assert [(step, v["loss"], v["accuracy"]) for step, v in seen] == progress.curve
    assert [v["lr"] for _, v in seen] == [learning_rate(step - 1, 12, 0.01, 3) for step, _ in seen]
    assert all(v["tokens_per_s"] > 0 for _, v in seen)
    assert seen[-1][1]["peak_memory_bytes"] == progress.peak_memory_bytes > 1e6
    assert "gpu_utilisation" not in seen[0][1]  # these tests train on the CPU


def test_step_number_chooses_task_batch_and_rate(monkeypatch):
    asked, rates = [], []

    class Noting:
        def __init__(self, task, number):
            self.task, self.number = task, number

        def batch(self, *arguments):
            asked.append((self.number, *arguments))
            return self.task.batch(*arguments)

    step = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        rates.append({group["lr"] for group in self.param_groups})
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    train(make_model(), [Noting(t, i) for i, t in enumerate(TASKS)], make_config(steps=5), device=CPU)
    looked_at = [
        (0, "train", 0, 4, 1),
        (1, "train", 1, 4, 1),
    ]  # before the first step, to see what kind they are
    assert asked == looked_at + [(i % 2, "train", i, 4, 1) for i in range(5)]
    assert rates == [{learning_rate(i, 5, 0.01, 3)} for i in range(5)]


def test_gradients_are_clipped():
    def norms(clip):
        model, found = make_model(), []

        def note(_step):
            found.append(math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters())))

        fit(model, make_config(steps=3, clip=clip), after_step=note)
        return found

    free, clipped = norms(1e9), norms(0.01)
    assert min(free) > 0.05
    assert clipped == pytest.approx([0.01] * 3, rel=1e-3)


def test_the_loss_is_the_mean_over_scored_positions():
    model, batch = make_model(), TASKS[1].batch("train", 0, 3, 0)
    inputs, targets = batch
    log_p = F.log_softmax(model(inputs)[0].double(), -1)
    places = [(b, t) for b in range(3) for t in range(TASKS[1].length) if targets[b, t] != IGNORE]
    wanted = -sum(log_p[b, t, targets[b, t]] for b, t in places) / len(places)
    assert len(places) == 6
    loss, accuracy = mean_loss(model, batch)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-5, atol=0)
    right = sum(log_p[b, t].argmax() == targets[b, t] for b, t in places)
    assert float(accuracy) == pytest.approx(int(right) / len(places))


def test_a_sequence_has_one_label():
    """The loss of a classifier, on a batch whose padding is cut to its longest row."""
    torch.manual_seed(0)
    model = Classifier(BackboneConfig(4, "hml", 8, 1, 12, {"num_heads": 2}), 3)
    inputs = torch.tensor([[1, 2, 0, 0, 0], [3, 1, 2, 0, 0], [2, 0, 0, 0, 0]])
    batch = Labelled(inputs, torch.tensor([2, 3, 1]), torch.tensor([0, 2, 1]))
    sent = on_device(batch, CPU)
    assert sent.inputs.shape == (3, 3)
    alone = torch.cat([model(inputs[i : i + 1, :n]) for i, n in enumerate(batch.lengths.tolist())])
    loss, accuracy = mean_loss(model, sent)
    wanted = F.cross_entropy(alone, batch.labels)
    torch.testing.assert_close(loss, wanted)
    assert float(accuracy) == pytest.approx(float((alone.argmax(-1) == batch.labels).float().mean()))


def test_a_classifier_trains_on_labels_and_counts_real_tokens():
    torch.manual_seed(0)
    task = build_task("listops", max_length=12, max_args=3, training_examples=64, held_out=8)
    model = Classifier(BackboneConfig(task.vocab_size, "gru", 16, 2, 16), task.classes, bidirectional=True)
    config = make_config(steps=80, batch_size=16, record_every=20, lr=0.03)
    progress = train(model, [task], config, device=CPU)
    (_, first, _), *_, (_, last, accuracy) = progress.curve
    assert last < 0.7 * first and accuracy > 0.5
    lengths = [int(task.batch("train", i, 16, config.seed).lengths.sum()) for i in range(80)]
    assert progress.tokens == sum(lengths)


def test_equal_seeds_train_equally_and_others_do_not():
    models = [make_model() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        fit(model, make_config(seed=seed))
    one, same, other = (torch.cat([p.flatten() for p in m.parameters()]) for m in models)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_bf16_is_for_the_gpu():
    assert not autocast(CPU, "bf16")._enabled and not autocast(CPU, "fp32")._enabled
    assert not autocast(torch.device("cuda"), "fp32")._enabled


def test_a_deadline_pauses_with_a_checkpoint(tmp_path):
    file = tmp_path / "run.safetensors"
    with pytest.raises(Paused) as paused:
        fit(make_model(), checkpoint=file, deadline=time.monotonic() - 1)
    assert (paused.value.step, paused.value.steps) == (1, 12)
    assert file.exists()
    done = fit(make_model(), checkpoint=file)
    assert done.step == 12


def test_a_deadline_does_not_pause_what_is_done():
    assert fit(make_model(), make_config(steps=1), deadline=time.monotonic() - 1).step == 1


@pytest.mark.parametrize("where", ["loss", "gradient norm"])
def test_what_is_not_finite_is_refused(where, tmp_path, monkeypatch):
    file, model = tmp_path / "run.safetensors", make_model()
    with pytest.raises(Paused):
        fit(model, checkpoint=file, deadline=time.monotonic() - 1)
    kept = file.read_bytes()

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * (math.nan if where == "loss" else 1)

        @staticmethod
        def backward(ctx, g):
            return g * math.inf

    def broken(*arguments):
        sums = scored_sums(*arguments)
        return sums._replace(nats=Broken.apply(sums.nats))

    monkeypatch.setattr("hmlcore.training.objective.scored_sums", broken)
    with pytest.raises(HmlcoreError, match=rf"the {where} became (nan|inf) at step 1; lower lr = 0.01"):
        fit(model, checkpoint=file, checkpoint_seconds=0)
    assert file.read_bytes() == kept
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": -2}, "batch_size must be at least 1, got -2"),
        ({"record_every": 0}, "record_every must be at least 1, got 0"),
        ({"clip": 0}, "clip must be above 0 and finite, got 0"),
        ({"precision": "fp16"}, "unknown precision 'fp16'; known: bf16, fp32"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(HmlcoreError, match=message):
        make_config(**change)


def test_the_interrupt_handler_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    fit(make_model())
    assert signal.getsignal(signal.SIGINT) is before


def test_it_trains_outside_the_main_thread():
    done = []
    worker = threading.Thread(target=lambda: done.append(fit(make_model()).step))
    worker.start()
    worker.join()
    assert done == [12]


def test_a_training_is_these_steps():
    """Batch, rate, gradient of this batch alone, clipping, optimiser: written out with none of the loop."""
    trained, plain, config = make_model(), make_model(), make_config(steps=6, clip=0.5)
    train(trained, TASKS, config, device=CPU)
    parameters, optimizer = list(plain.parameters()), build_optimizer(plain, 1.0, config.weight_decay)
    for step in range(6):
        batch = TASKS[step % 2].batch("train", step, config.batch_size, config.seed)
        gradients = torch.autograd.grad(mean_loss(plain, batch)[0], parameters)
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g * min(1.0, config.clip / float(norm))
        set_rate(optimizer, learning_rate(step, 6, config.lr, config.warmup))
        optimizer.step()
    for (name, p), q in zip(trained.named_parameters(), parameters, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5, msg=name)
