"""Memorizing Transformer and Recurrent Memory Transformer: read as decoded, causal, bounded, told by memory."""

import pytest
import torch
from one_law import one_pass_as_cut

from hmlcore.errors import HmlcoreError
from hmlcore.models import MemorizingConfig, RecurrentMemoryConfig
from hmlcore.models.memorizing import nearest
from hmlcore.models.saved import load_model, save_model

CONFIGS = {
    "memorizing": MemorizingConfig(
        50, d_model=16, d_ff=16, mixer_args={"window": 8, "num_heads": 2}, chunk=8, capacity=20, top=4
    ),
    "recurrent": RecurrentMemoryConfig(
        50, d_model=16, d_ff=16, mixer_args={"num_heads": 2}, chunk=8, memory_tokens=3
    ),
}


def drawn(batch=3, length=43, seed=1):
    return torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    return CONFIGS[request.param].build().eval()


@torch.no_grad()
def test_one_pass_any_chunking_and_single_steps_agree_to_the_bit(model):
    one_pass_as_cut(model, drawn(), [5, 1, 30, 7], 18)


@torch.no_grad()
def test_the_past_does_not_know_the_future_and_streams_share_nothing(model):
    tokens, other = drawn(), drawn()
    other[1, 33] = (other[1, 33] + 1) % 50
    one, two = model(tokens)[0], model(other)[0]
    assert torch.equal(one[:, :33], two[:, :33]) and not torch.equal(one[1, 33:], two[1, 33:])
    assert torch.equal(one[[0, 2]], two[[0, 2]])


@torch.no_grad()
def test_what_no_window_or_segment_reaches_is_told_by_the_memory(model):
    """The first token is 40 tokens back, behind windows of 8 in two layers and segments of 8."""
    tokens, other = drawn(1), drawn(1)
    other[0, 2] = (other[0, 2] + 1) % 50
    early, late = (x[:, a:b] for x in (tokens,) for a, b in ((0, 8), (8, 43)))
    far = model(late, model(early)[1])[0] - model(late, model(other[:, :8])[1])[0]
    assert far[0, 25:].abs().max() > 1e-6


def test_the_state_does_not_grow_and_gradients_reach_all(model):
    assert (
        model.state_size(9)
        == model.state_size(10**6)
        == sum(x[0].numel() for s in model.init_state(1) for x in s)
    )
    assert model.flops_per_token(64) > 0
    logits, _ = model.train()(drawn())
    logits.logsumexp(-1).sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_a_state_is_stored_without_what_computed_it_and_its_parts_share_nothing(model):
    tokens = drawn()
    begun = model.init_state(3)
    _, read = model(tokens)
    _, stepped = model.step(tokens[:, 0], read)
    for state in (begun, read, stepped):
        for part in state:
            for name, x in part._asdict().items():
                assert x.untyped_storage().nbytes() == x.nbytes, name
    with torch.no_grad():
        begun[-1][0][0] += 1
    assert not torch.equal(begun[-1][0][0], begun[-1][0][1])


def test_a_batch_of_none_is_a_batch(model):
    tokens = torch.zeros(0, 19, dtype=torch.long)
    logits, state = model(tokens)
    step, _ = model.step(tokens[:, 0], state)
    assert logits.shape == (0, 19, 50) and step.shape == (0, 50)
    logits.sum().backward()
    assert all(p.grad is None or p.grad.count_nonzero() == 0 for p in model.parameters())


def test_fp16_is_finite_where_a_key_has_no_length(model):
    tokens = drawn()
    for block in model.blocks:
        torch.nn.init.zeros_(block.mixer.in_proj.weight)
    with torch.autocast("cpu", torch.float16):
        mixed, _ = model(tokens)
    grads = torch.autograd.grad(mixed.float().mean(), list(model.parameters()), allow_unused=True)
    narrow, state = model.half()(tokens)
    assert all(x.isfinite().all() for x in (mixed, narrow, *(x for part in state for x in part)))
    assert all(g is None or g.isfinite().all() for g in grads)


@torch.no_grad()
def test_a_nan_stays_in_its_stream(model):
    tokens = drawn()
    clean, _ = model(tokens)
    _, state = model(tokens[:, :16])
    for part in state[-1][:1]:
        part[0] = torch.nan
    spoilt, _ = model(tokens[:, 16:], state)
    assert torch.equal(spoilt[1:], clean[1:, 16:])


def test_it_is_saved(model, tmp_path):
    save_model(tmp_path / "model", model)
    loaded = load_model(tmp_path / "model").model.eval()
    with torch.no_grad():
        assert type(loaded) is type(model) and torch.equal(loaded(drawn())[0], model(drawn())[0])


def test_the_nearest_keys_are_those_of_the_largest_cosines():
    g = torch.Generator().manual_seed(0)
    q, k = (torch.nn.functional.normalize(torch.randn(2, n, 3, 5, generator=g), dim=-1) for n in (7, 30))
    present = torch.ones(2, 30)
    present[0, 2:] = 0
    found = nearest(q, k, present, 4)
    scores = torch.einsum("buhd,bmhd->buhm", q, k)
    assert torch.equal(found[1], scores[1].topk(4, dim=-1)[1])
    assert (found[0, ..., 2:] == -1).all() and found[0, ..., :2].sort(-1)[0].eq(torch.tensor([0, 1])).all()
    assert (nearest(q, k, 0 * present, 4) == -1).all()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (MemorizingConfig, {"top": 9, "capacity": 8}, "top must be at most the 8 tokens of the memory, got 9"),
        (MemorizingConfig, {"mixer": "hml"}, "mixer must be 'window_attention', got 'hml'"),
        (MemorizingConfig, {"capacity": 0}, "capacity must be at least 1, got 0"),
        (RecurrentMemoryConfig, {"memory_tokens": 0}, "memory_tokens must be at least 1, got 0"),
        (RecurrentMemoryConfig, {"mixer": "gru"}, "mixer must be 'attention', got 'gru'"),
    ],
)
def test_refusals(kind, given, message):
    with pytest.raises(HmlcoreError, match=message):
        kind(50, **given)
