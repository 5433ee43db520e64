"""The sparse read: by hand, both forms, and its gradient."""

import pytest
import torch
import torch.nn.functional as F

from hmlcore.errors import HmlcoreError
from hmlcore.ops.sparse_read import gather_sparse_read, naive_sparse_read, sparse_read

FORMS = [naive_sparse_read, gather_sparse_read]


def drawn(seed=0, lanes=2):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    q, k = F.normalize(normal(2, 5, 4), dim=-1), F.normalize(normal(2, 6, 3, 4), dim=-1)
    buckets = torch.randint(6, (2, 5, lanes), generator=g)
    return q, buckets, k, normal(2, 6, 3, 7), torch.rand(2, 6, 3, generator=g) < 0.7, normal(())


def by_hand(q, buckets, k, v, occupied, nothing, top, tau=0.1):
    out, mass = q.new_zeros(*q.shape[:2], v.shape[-1]), q.new_zeros(q.shape[:2])
    for b, t in torch.cartesian_prod(*map(torch.arange, q.shape[:2])).tolist():
        slots = [(n, w) for n in set(buckets[b, t].tolist()) for w in range(k.shape[2]) if occupied[b, n, w]]
        scored = sorted(((float(q[b, t] @ k[b, n, w]), n, w) for n, w in slots), reverse=True)[:top]
        weights = torch.tensor([s for s, *_ in scored] + [float(nothing)], dtype=q.dtype).div(tau).softmax(0)
        for weight, (_, n, w) in zip(weights, scored, strict=False):
            out[b, t] += weight * v[b, n, w]
            mass[b, t] += weight
    return out, mass


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("lanes", "top"), [(1, 1), (1, 3), (2, 4), (2, 6)])
def test_every_form_is_the_definition(form, lanes, top):
    case = drawn(lanes=lanes)
    for found, wanted in zip(form(*case, top), by_hand(*case, top), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_gradients_agree_and_flow_to_query_keys_values_and_nothing():
    found = []
    for form in FORMS:
        q, buckets, k, v, occupied, nothing = drawn()
        leaves = [x.requires_grad_() for x in (q, k, v, nothing)]
        read, _ = form(q, buckets, k, v, occupied, nothing, 3)
        found.append(torch.autograd.grad(read.sin().sum(), leaves))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
        assert one.abs().sum() > 0 and one.isfinite().all()


def test_an_empty_memory_answers_nothing():
    q, buckets, k, v, _, nothing = drawn()
    for form in FORMS:
        read, mass = form(q, buckets, k, v, torch.zeros(2, 6, 3, dtype=torch.bool), nothing, 2)
        assert (read == 0).all() and (mass == 0).all()


def test_refusals():
    q, buckets, k, v, occupied, nothing = drawn()
    with pytest.raises(
        HmlcoreError, match="top must be at least 1 and at most the 6 slots that are seen, got 7"
    ):
        sparse_read(q, buckets, k, v, occupied, nothing, 7)
    with pytest.raises(HmlcoreError, match=r"query must be \[B, T, d\] = \[2, T, 4\], got \(2, 5, 3\)"):
        sparse_read(q[..., :3], buckets, k, v, occupied, nothing, 2)
    with pytest.raises(HmlcoreError, match=r"buckets must be \[B, T, lanes\] of \(2, 5\), got \(2, 4, 2\)"):
        sparse_read(q, buckets[:, :4], k, v, occupied, nothing, 2)
