"""Timings in turns, the path that ran, memory to the byte, and no T² in attention."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation import speed
from hmlcore.layers import MIXERS, build_mixer
from hmlcore.ops.attention import attention
from hmlcore.ops.backend import choose, recording_choices

CPU = torch.device("cpu")


def tokens(length, batch=1, d_model=16):
    return torch.randn(batch, length, d_model, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def clock(monkeypatch):
    """Passes say how long they take; calls are noted."""
    calls, now = [], [0.0]

    def timed(run, device):
        seconds = run()
        calls.append(seconds)
        now[0] += seconds
        return seconds

    monkeypatch.setattr(speed, "timed", timed)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    return calls


def test_each_pass_has_one_turn_a_round_and_the_first_changes(clock):
    found = speed.in_turns({"a": lambda: 1.0, "b": lambda: 2.0, "c": lambda: 4.0}, CPU, repeats=3)
    assert clock == [1, 2, 4, 2, 4, 1, 4, 1, 2]
    assert {name: timing.seconds for name, timing in found.items()} == {"a": 1, "b": 2, "c": 4}
    assert all(timing.repeats == 3 and timing.spread == 0 for timing in found.values())


def test_a_value_is_the_median_and_the_spread_its_quartiles(clock):
    seconds = iter([1.0, 2.0, 3.0, 4.0, 100.0])
    timing = speed.in_turns({"a": lambda: next(seconds)}, CPU, repeats=5)["a"]
    assert (timing.seconds, timing.spread, timing.repeats) == (3, (4 - 2) / 3, 5)


def test_rounds_stop_in_time_but_not_before_there_are_enough(clock):
    assert speed.in_turns({"a": lambda: 2.0}, CPU, repeats=9, seconds=10.5)["a"].repeats == 5
    assert speed.in_turns({"a": lambda: 2.0}, CPU, repeats=9, seconds=1, least=3)["a"].repeats == 3
    assert speed.in_turns({"a": lambda: 2.0}, CPU, repeats=2, seconds=1, least=3)["a"].repeats == 2
    with pytest.raises(HmlcoreError, match="repeats must be at least 1, got 0"):
        speed.in_turns({}, CPU, repeats=0)


def test_the_path_is_what_ran(monkeypatch):
    mixer, x = build_mixer("hml", 16, num_heads=2, dynamics="leapfrog"), tokens(8)
    run = speed.train_pass(mixer, x)
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    usual = speed.in_turns({"hml": run}, CPU, repeats=1)["hml"].path
    assert usual["hamiltonian"] == choose("hamiltonian", "cpu").form.name and "short_conv" in usual
    monkeypatch.setenv("HMLCORE_BACKEND", "naive")
    naive = speed.in_turns({"hml": run}, CPU, repeats=1)["hml"].path
    assert speed.path_text(naive) == "hamiltonian:naive short_conv:naive"
    decode = speed.in_turns({"hml": speed.decode_pass(mixer, x, 2)}, CPU, repeats=1)["hml"].path
    assert speed.path_text(speed.decode_path(decode, naive)) == "hamiltonian_step:naive short_conv:naive"
    assert speed.decode_path({}, naive) == {"hamiltonian": "step", "short_conv": "step"}


def test_nothing_is_recorded_outside_the_block():
    with recording_choices() as outer:
        with recording_choices() as inner:
            choose("gru", "cpu", backend="naive")
        choose("lstm", "cpu", backend="naive")
    choose("attention", "cpu", backend="naive")
    assert (inner, outer) == ({"gru": "naive"}, {"gru": "naive", "lstm": "naive"})


@pytest.mark.parametrize("name", MIXERS)
def test_a_training_pass_has_all_gradients_and_leaves_none(name):
    mixer, x = build_mixer(name, 16), tokens(8).requires_grad_()
    seen = set()
    for key, parameter in [("x", x), *mixer.named_parameters()]:
        parameter.register_post_accumulate_grad_hook(lambda _, key=key: seen.add(key))
    speed.train_pass(mixer, x)()
    assert seen == {"x", *(key for key, _ in mixer.named_parameters())}
    assert x.grad is None and all(p.grad is None for p in mixer.parameters())


@pytest.mark.parametrize("name", MIXERS)
def test_decoding_always_starts_from_the_same_state(name, monkeypatch):
    mixer, x = build_mixer(name, 16), tokens(12)
    step, outputs = mixer.step, []
    monkeypatch.setattr(mixer, "step", lambda *given: outputs.append(step(*given)[0]) or (outputs[-1], None))
    speed.decode_pass(mixer, x, 3)()
    with torch.no_grad():
        after = mixer(torch.cat((x, x[:, -1:]), 1))[0][:, -1]
    assert len(outputs) == 3 and not outputs[0].requires_grad
    for y in outputs:
        torch.testing.assert_close(y, after, rtol=1e-4, atol=1e-5)


def test_memory_is_the_most_held_at_once():
    kept = torch.zeros(10_000)  # was there before: does not count

    def run():
        a = torch.zeros(1000)
        b = torch.zeros(2000)
        del a
        torch.zeros(500)
        return b + kept.sum()

    # b and b + sum: 2 · 8000 bytes, and the sum's scalar; a and b before were fewer.
    peak, method = speed.peak_memory(run, CPU)
    assert 16_000 <= peak <= 16_100 and method == "torch profiler"


# The profiler takes long over the many steps of a GRU, which keeps a state a token.
@pytest.mark.parametrize("name", [name for name in MIXERS if name != "gru"])
def test_no_memory_grows_with_the_square_of_the_length(name):
    mixer, peaks = build_mixer(name, 16), []
    for length in (1024, 2048):
        run = speed.train_pass(mixer, tokens(length).requires_grad_())
        peaks.append(speed.peak_memory(run, CPU)[0])
    assert peaks[1] < 3 * peaks[0], peaks  # a square would make it 4


def test_attention_stores_no_scores_however_its_inputs_lie_in_memory():
    peaks = []
    for length in (1024, 2048):
        inputs = torch.randn(3, 1, 2, 8, length, requires_grad=True)

        def run(inputs=inputs):
            y = attention(*(x.permute(0, 3, 1, 2) for x in inputs))  # as a convolution over time leaves them
            y.sum().backward()
            inputs.grad = None

        peaks.append(speed.peak_memory(run, CPU)[0])
    assert peaks[1] < 3 * peaks[0], peaks


def test_rates_are_work_over_time(monkeypatch):
    monkeypatch.setattr(speed, "timed", lambda run, device: 0.5)
    assert speed.copy_bandwidth(CPU).seconds == 2 * 4 * 2**24 / 0.5
    assert speed.matmul_rate(CPU, repeats=2) == (2 * 1024**3 / 0.5, 0, 2, {})


def test_want_of_memory_is_told_from_other_errors():
    with pytest.raises(MemoryError, match="not enough memory"), speed.out_of_memory_as(MemoryError):
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="mat1"), speed.out_of_memory_as(MemoryError):
        torch.ones(2, 3) @ torch.ones(2, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", MIXERS)
def test_on_a_gpu(name):
    device = torch.device("cuda")
    mixer, x = build_mixer(name, 64).to(device), tokens(256, 2, 64).to(device).requires_grad_()
    run = speed.train_pass(mixer, x, "bf16")
    run()
    peak, method = speed.peak_memory(run, device)
    assert peak > x.numel() * 4 and method == "cuda allocator"
    assert speed.timed(speed.decode_pass(mixer, x[:1].detach(), 2, "bf16"), device) > 0
