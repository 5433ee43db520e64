"""Muon, against the polar factor and against torch's own."""

import pytest
import torch

from hmlcore.training.muon import Muon, orthogonal


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)])
def test_every_direction_gets_the_same_length(shape):
    matrix = normal(*shape)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(1e-4 * matrix)
    sizes = torch.diagonal(u.T @ found @ vh.T)
    torch.testing.assert_close(u @ torch.diag(sizes) @ vh, found, rtol=0, atol=1e-4)  # the directions stay
    assert sizes.min() > 0.6 and sizes.max() < 1.3
    assert torch.equal(orthogonal(torch.zeros(shape)), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(24, 8), (8, 24)])
def test_steps_are_those_of_torch_up_to_its_rounding_to_bf16(shape):
    """Gradients of full rank; where directions are empty, torch's rounding fills them."""
    ours, theirs = (torch.nn.Parameter(normal(*shape, seed=9)) for _ in range(2))
    start, rate, decay = ours.detach().clone(), 0.02, 0.1
    mine = Muon([ours], lr=rate, weight_decay=decay)
    other = torch.optim.Muon([theirs], lr=rate, weight_decay=decay, adjust_lr_fn="original")
    for step in range(6):
        ours.grad = normal(*shape, seed=step)
        theirs.grad = ours.grad.clone()
        mine.step(), other.step()
    assert float((ours - start).norm()) > 20 * float((ours - theirs).norm())


def test_rounding_of_gradients_stays_rounding():
    """Of rank 2 of 8: what is not there is lifted 500 times, and remains below a ten thousandth."""
    matrix = normal(24, 2) @ normal(2, 8, seed=1)
    moved = orthogonal(matrix * (1 + 1e-7 * normal(24, 8, seed=2))) - orthogonal(matrix)
    assert float(moved.abs().max()) < 1e-4
