"""The energy of a head in its current token's potential, and where it goes.

    E_t = ½‖P_t‖² + ½ β_t ‖k_tᵀQ_t − v_tᵀ‖²,      E_t = E_{t−1} + work + forgetting + step

Work is what the switch to a new token's potential does to a memory that has not moved; forgetting is what α
takes (or gives, since a fainter memory may lie nearer to v); the step of the dynamics, where it is below 0,
is dissipation. The three add up exactly. P is 0 for memories of one row.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.explorers.steps import Steps


class Energies(NamedTuple):
    """[B, T, H] each."""

    energy: Tensor
    work: Tensor
    forgetting: Tensor
    step: Tensor


def energies(steps: Steps) -> Energies:
    """The balance of every token and head, from an empty memory on."""
    before = torch.cat((torch.zeros_like(steps.state[:, :1]), steps.state[:, :-1]), 1)
    switched = _energy(steps, before)
    faded = _energy(steps, steps.alpha[..., None, None, None] * before)
    energy = _energy(steps, steps.state)
    last = torch.cat((torch.zeros_like(energy[:, :1]), energy[:, :-1]), 1)
    return Energies(energy, switched - last, faded - switched, energy - faded)


def _energy(steps: Steps, state: Tensor) -> Tensor:
    """Of states S [B, T, H, p, N, D], each in its own token's potential."""
    miss = torch.einsum("bthn,bthnd->bthd", steps.key, state[..., 0, :, :]) - steps.value
    potential = 0.5 * steps.beta * miss.square().sum(-1)
    if state.shape[-3] == 1:
        return potential
    return potential + 0.5 * state[..., 1, :, :].square().sum((-2, -1))
