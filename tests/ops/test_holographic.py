"""Superposed bindings: identities of the three, what is refused, and recall by the law of capacity.

What it owes as a memory, forms, gradients and packing, `test_matrix_memory.py` asks of it as of all.
"""

import math

import pytest
import torch
from matrix_memory_cases import draw

from hmlcore.errors import HmlcoreError
from hmlcore.ops.holographic import (
    BINDINGS,
    bind,
    chunk_holographic,
    holographic,
    keys_of_phases,
    keys_of_signs,
    naive_holographic,
    one_of,
    random_keys,
    unbind,
)
from hmlcore.studies.kit.superposition import accuracy, capacity, routed

each_binding = pytest.mark.parametrize("binding", BINDINGS)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@each_binding
@pytest.mark.parametrize("d", [2, 16, 30])
def test_unbinding_undoes_binding_and_no_length_changes(binding, d):
    key, one, two = random_keys(binding, normal(5, d)), normal(5, d, seed=1), normal(5, d, seed=2)
    bound = bind(binding, key, one)
    torch.testing.assert_close(unbind(binding, key, bound), one, rtol=0, atol=1e-13)
    torch.testing.assert_close((bound * bind(binding, key, two)).sum(-1), (one * two).sum(-1))
    # Unbinding is the adjoint of binding.
    torch.testing.assert_close((bound * two).sum(-1), (one * unbind(binding, key, two)).sum(-1))


@pytest.mark.parametrize("d", [5, 6])
def test_convolution_is_the_sum_over_all_pairs_of_channels(d):
    """(k ⊛ v)_i = Σ_j k_j v_{i−j}, unbinding Σ_j k_j m_{i+j}: O(D²), for any key and an odd D too."""
    key, value = normal(d), normal(d, seed=1)
    i, j = torch.arange(d)[:, None], torch.arange(d)
    torch.testing.assert_close(bind("convolution", key, value), (key * value[(i - j) % d]).sum(-1))
    torch.testing.assert_close(unbind("convolution", key, value), (key * value[(i + j) % d]).sum(-1))


def test_convolution_is_the_unitary_binding_of_spectra():
    """One memory: the spectrum of a convolution memory is a unitary one of the same phases."""
    d, phases = 12, normal(4, 6)
    value = normal(4, d, seed=1)
    bound = torch.fft.rfft(bind("convolution", keys_of_phases("convolution", phases), value))
    spectrum = torch.view_as_real(torch.fft.rfft(value)[..., 1:-1].contiguous()).flatten(-2)
    wanted = bind("unitary", keys_of_phases("unitary", phases[..., 1:]), spectrum)
    torch.testing.assert_close(torch.view_as_real(bound[..., 1:-1].contiguous()).flatten(-2), wanted)
    torch.testing.assert_close(bound[..., [0, -1]], torch.fft.rfft(value)[..., [0, -1]])


def test_ten_lines_are_the_op():
    """Bind, superpose and unbind by hand in complex numbers."""
    phases, values = normal(3, 4), normal(3, 8, seed=1)
    pairs = torch.view_as_complex(values.view(3, 4, 2))
    superposed = (torch.polar(torch.ones(3, 4).double(), phases) * pairs).sum(0)
    wanted = torch.view_as_real(torch.polar(torch.ones(4).double(), -phases[1]) * superposed).flatten()
    keys, ones = keys_of_phases("unitary", phases), torch.ones(1, 3, 1, 1).double()
    given = keys[1].expand(1, 3, 1, 8), keys[None, :, None], values[None, :, None]
    for form in (naive_holographic, chunk_holographic, holographic):
        o, _ = form(*given, ones, ones, binding="unitary")
        torch.testing.assert_close(o[0, -1, 0], wanted)


@pytest.mark.parametrize("form", [naive_holographic, chunk_holographic])
def test_nothing_kept_for_ever_is_a_decay_of_one(form):
    x = {name: y.detach() for name, y in draw("holographic, unitary", 21).items()}
    still = x | {"log_alpha": torch.zeros_like(x["log_alpha"])}
    state = x.pop("initial_state")
    given = [x[name] for name in ("q", "k", "v", "write", "read")]
    o, _ = form(*given, binding="unitary", initial_state=state)
    torch.testing.assert_close(o, form(*given, still["log_alpha"], binding="unitary", initial_state=state)[0])


def test_slots_keep_what_is_routed_to_them_apart():
    """Two values under one key in two slots: each is read without the other."""
    key, values = random_keys("bipolar", normal(1, 1, 1, 6)).expand(1, 2, 1, 6), normal(1, 2, 1, 6, seed=1)
    route = torch.eye(2).double()[None, :, None]
    o, state = holographic(key, key, values, route, route, binding="bipolar", output_final_state=True)
    torch.testing.assert_close(o, values)
    torch.testing.assert_close(state[0, 0], bind("bipolar", key[0, :, 0], values[0, :, 0]))


# Straight through


def test_straight_through_gradients_are_those_of_tanh_and_softmax_and_have_none():
    x, weight = normal(4, 5).requires_grad_(), normal(4, 5, seed=1)
    for hard, soft in ((keys_of_signs, torch.tanh), (one_of, lambda y: y.softmax(-1))):
        (found,) = torch.autograd.grad((hard(x) * weight).sum(), x, create_graph=True)
        (wanted,) = torch.autograd.grad((soft(x) * weight).sum(), x)
        torch.testing.assert_close(found, wanted)
        with pytest.raises(HmlcoreError, match="straight-through gradient is no derivative"):
            torch.autograd.grad(found.sum(), x)
    assert set(keys_of_signs(x).detach().unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(one_of(x).detach().argmax(-1), x.argmax(-1)) and (one_of(x).sum(-1) == 1).all()
    assert keys_of_signs(torch.tensor([torch.nan])).isnan().all()


# Capacity


@each_binding
def test_recall_of_random_pairs_follows_the_law(binding):
    """1,000 reads, each of a superposition of its own: within four standard errors, and not of another N."""
    d, values, reads = 256, 64, 1000
    codebook = torch.where(normal(values, d, seed=9) < 0, -1.0, 1.0).double()
    for pairs in (10, 30):
        g = torch.Generator().manual_seed(pairs)
        keys = random_keys(binding, torch.randn(reads, pairs, d, generator=g, dtype=torch.float64))
        which = torch.randint(values, (reads, pairs), generator=g)
        memory = bind(binding, keys, codebook[which]).sum(1)
        right = ((unbind(binding, keys[:, 0], memory) @ codebook.T).argmax(-1) == which[:, 0]).double().mean()
        law = accuracy(d, pairs, values)
        assert abs(right - law) < 4 * math.sqrt(law * (1 - law) / reads) + 0.01
        assert abs(right - accuracy(d, 1.5 * pairs, values)) > 0.03


def test_the_law_is_the_integral_and_its_inverse():
    """By the mean of Φ^{K−1} over normal numbers; the numbers that the design was made with; chance; slots."""
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(1)).double() + math.sqrt(128 / 20)
    assert accuracy(128, 20, 50) == pytest.approx(torch.special.ndtr(x).pow(49).mean().item(), abs=2e-3)
    found = [accuracy(4096, n, 1000) for n in (128, 256, 512, 1024)]
    assert found == pytest.approx([0.98, 0.77, 0.36, 0.11], abs=0.015)
    assert accuracy(16, 1e9, 10) == pytest.approx(0.1, abs=1e-3) and accuracy(100, 3, 1) == pytest.approx(1)
    assert accuracy(512, capacity(512, 64, 0.9), 64) == pytest.approx(0.9, abs=1e-6)
    assert routed(256, 40, 64, 1) == accuracy(256, 40, 64)
    # A slot of many has few pairs: the mean over how many they are.
    assert accuracy(256, 10, 64) > routed(256, 40, 64, 4) > accuracy(256, 20, 64)


# Refusals


BAD = {
    "keys that are not unit": ({"k": lambda x: 1.5 * x}, r"k must have modulus 1 .*'unitary', got 1.5"),
    "queries that are not unit": ({"q": lambda x: 0 * x}, "q must have modulus 1 everywhere .* got 0"),
    "an odd D": (
        {name: lambda x: x[..., :3] for name in ("q", "k", "v")},
        "channels D of q must be even with binding = 'unitary', whose channels are complex pairs, got 3",
    ),
    "a state of other slots": (
        {"initial_state": lambda x: x[:, :, :2]},
        r"initial_state must have shape \(2, 2, 5, 4\), got \(2, 2, 2, 4\)",
    ),
    "reads of other slots": ({"read": lambda x: x[..., :2]}, "read must have write's shape"),
    "no tokens": ({"v": lambda x: x[:, :0]}, "v has T = 0 tokens"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_by_name_and_value(case):
    changes, message = BAD[case]
    x = {name: y.detach() for name, y in draw("holographic, unitary", 3).items()}
    x |= {name: change(x[name]) for name, change in changes.items()}
    state = x.pop("initial_state")
    with pytest.raises(HmlcoreError, match=message):
        holographic(**x, initial_state=state, binding="unitary")


def test_unknown_bindings_are_refused():
    with pytest.raises(HmlcoreError, match="unknown binding 'xor'; known: bipolar, convolution, unitary"):
        bind("xor", normal(4), normal(4))
    with pytest.raises(HmlcoreError, match="binding 'bipolar' has keys of signs"):
        keys_of_phases("bipolar", normal(4))
    with pytest.raises(HmlcoreError, match="convolution', got 2"):
        x = {name: y.detach() for name, y in draw("holographic, unitary", 3).items() if name != "initial_state"}
        holographic(**x | {"k": 2 * random_keys("convolution", x["v"])}, binding="convolution")
