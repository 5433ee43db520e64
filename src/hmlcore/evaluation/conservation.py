"""What a memory conserves: its past when run backwards, its energy, and the gradient that reaches a value."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_bool, check_int, check_list, check_number, check_seed
from hmlcore.errors import require
from hmlcore.evaluation.token_map import TokenMap, norms, random_keys, random_state

LOST = 1.0
"""Relative error from which on nothing of the start is left; larger ones are given as this."""


class Measured(NamedTuple):
    """A value at one place (a number of tokens, a lag), its standard error, and over how many sequences."""

    at: int
    value: float
    stderr: float
    n: int


def reversal_errors(
    maps: TokenMap,
    steps: Iterable[int],
    *,
    n: int = 16,
    d: int = 4,
    sequences: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> list[Measured]:
    """‖S₀' − S₀‖ / ‖S₀‖ after some tokens and, in reverse order, the exact inverse of each.

    In exact arithmetic it is 0 for every map that does not erase; what is left is rounding, and what the way
    back makes of it. Values and S₀ have entries of variance 1, gates are constant, everything is in `dtype`.

    Args:
        maps: one map (M = 1). steps: numbers of tokens, ascending; those after the first at which the error
            reaches :data:`LOST` are not tried, since the size of a total loss says nothing.
    Returns: an entry for every number of tokens tried: mean over sequences, each counted as LOST at most.
    """
    steps = _ascending("steps", steps)
    d, seed = check_int("d", d), check_seed("seed", seed)
    require(len(maps.still) == 1, f"maps must hold one map, got {len(maps.still)}")
    back = maps.inverse().to(dtype)
    maps = maps.to(dtype)
    keys = random_keys(steps[-1], sequences, n, seed, dtype)
    g = torch.Generator().manual_seed(seed + 1)
    values = torch.randn(steps[-1], sequences, d, generator=g)
    start = random_state(maps, sequences, n, d, seed + 2) * (n * d) ** 0.5
    state, found = start, []
    for t in range(steps[-1]):
        state = maps.step(keys[t], state, values[t])
        if t + 1 not in steps:
            continue
        again = state
        for s in range(t, -1, -1):
            again = back.undo(keys[s], again, values[s])
        errors = (norms(again - start) / norms(start))[0].double()
        errors = errors.nan_to_num(LOST, LOST).clamp_max(LOST)
        found.append(_measured(t + 1, errors))
        if found[-1].value >= LOST / 2:
            break
    return found


def energies(
    maps: TokenMap,
    strength: float,
    tokens: int,
    *,
    changing: bool,
    n: int = 16,
    sequences: int = 16,
    seed: int = 0,
) -> Tensor:
    r"""The energy of the homogeneous memory (v = 0) after 0, 1, … tokens: [tokens + 1, sequences], float64.

    With one constant key, of what it addresses, (x, p) = kᵀ(Q, P):  ½|p|² + ½η|x|². With changing keys, that
    averaged over all of them:  ½‖P‖² + ½η‖Q‖²/n. One row has no p.

    Args: maps, one map (M = 1). strength: η, or θ for the oscillator. changing: every token has its own key.
    """
    strength, changing = check_number("strength", strength), check_bool("changing", changing)
    path, key = _path(maps, tokens, changing, n, sequences, seed)
    if not changing:
        path, n = torch.einsum("bn,tpbn->tpb", key, path)[..., None], 1
    squares = path.abs().square().sum(-1)  # [T, p, B]
    potential = strength / n * squares[:, 0]
    return 0.5 * (potential if maps.rows == 1 else potential + squares[:, 1])


def shadow_energies(
    maps: TokenMap, eta: float, mixed: float, tokens: int, *, n: int = 16, sequences: int = 16, seed: int = 0
) -> Tensor:
    r"""What a step conserves in place of the energy under one constant key: [tokens + 1, sequences], float64.

    Leapfrog conserves ½[(1 − η/4)p² + ηx²] and symplectic Euler, which is half a drift ahead of it, the same
    of x − p/2:  ½[p² + ηx² − ηxp].

    Args: mixed, how far ahead in drifts: 0 for leapfrog, ½ for Euler. The rest as :func:`energies`.
    """
    eta, mixed = float(check_number("eta", eta)), float(check_number("mixed", mixed))
    require(maps.rows == 2, "a shadow energy needs a pair (Q, P)")
    path, key = _path(maps, tokens, False, n, sequences, seed)
    x, p = torch.einsum("bn,tpbn->ptb", key, path)
    x = x - mixed * p
    return 0.5 * ((1 - eta / 4) * p.square() + eta * x.square())


def drift(energy: Tensor) -> Tensor:
    """The largest |E_t / E₀ − 1| of each sequence: [T, B] → [B]."""
    return (energy / energy[0] - 1).abs().amax(0)


def gradient_by_lag(
    maps: TokenMap, lags: Iterable[int], *, n: int = 16, sequences: int = 16, seed: int = 0
) -> list[Measured]:
    """Length of the gradient of one channel of o_T with respect to v_{T−lag}, random unit keys and query.

    Root mean square over sequences, and exactly over queries. Neither depends on the values, since the memory
    is linear in them: dS_T = A_T … A_{s+1} (e ⊗ k_s dv), and o_T = rᵀQ_T. One pass backwards gives all lags.

    Args: maps, one map (M = 1). lags: from 0, the token's own value, ascending.
    """
    lags = _ascending("lags", lags, least=0)
    require(len(maps.still) == 1, f"maps must hold one map, got {len(maps.still)}")
    keys = random_keys(lags[-1] + 1, sequences, n, seed)
    back = TokenMap(maps.still.mT, maps.along.mT, maps.write)
    # All n queries of an orthonormal basis at once, in place of value channels: [1, p, B, N, N].
    seen = maps.still.new_zeros(1, maps.rows, sequences, n, n)
    seen[:, 0] = torch.eye(n, dtype=seen.dtype)
    found = []
    for lag, k in enumerate(keys):  # the keys as they are met on the way back
        if lag in lags:
            g = torch.einsum("p,bn,pbnr->br", maps.write[0], k.to(seen.dtype), seen[0])
            squares = g.abs().square().mean(1)
            value = squares.mean().sqrt()
            # Of a root: half the relative error of the mean square.
            relative = squares.std() / squares.mean().clamp_min(torch.finfo(squares.dtype).tiny) / 2
            stderr = value * relative / sequences**0.5
            found.append(Measured(lag, float(value), float(stderr), sequences))
        seen = back.step(k, seen)
    return found


def _path(maps, tokens, changing, n, sequences, seed) -> tuple[Tensor, Tensor]:
    """[tokens + 1, p, B, N] from a random state of norm 1, and the first key [B, N] in its dtype."""
    require(len(maps.still) == 1, f"maps must hold one map, got {len(maps.still)}")
    tokens = check_int("tokens", tokens)
    keys = random_keys(tokens if changing else 1, sequences, n, seed)
    state = random_state(maps, sequences, n, 1, seed + 1)
    path = [state]
    for t in range(tokens):
        state = maps.step(keys[t if changing else 0], state)
        path.append(state)
    return torch.cat(path)[..., 0], keys[0].to(state.dtype)


def _ascending(name: str, values: Iterable[int], least: int = 1) -> Sequence[int]:
    values = check_list(name, values, check_int, least)
    require(all(a < b for a, b in itertools.pairwise(values)), f"{name} must ascend, got {values}")
    return values


def _measured(at: int, each: Tensor) -> Measured:
    stderr = float(each.std() / len(each) ** 0.5) if len(each) > 1 else 0.0
    return Measured(at, float(each.mean()), stderr, len(each))
