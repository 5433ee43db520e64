r"""Does a memory's error grow? Lyapunov exponents under keys that change from token to token.

A symplectic map preserves volume, not length: a product of different ones grows as a rule. The largest
exponent is the rate

    λ = lim_{T→∞} (1/T) log ‖A_T … A_1 x‖    for almost every x,

by Furstenberg and Kesten (Annals of Mathematical Statistics 31, 1960). A vector is pushed along and its
length, renormalised as it goes, is counted (Benettin et al., Meccanica 15, 1980).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_seed
from hmlcore.errors import require
from hmlcore.evaluation.token_map import TokenMap, norms, random_keys, random_state

_EVERY = 4  # tokens between renormalisations: no step grows a vector by more than 1e3


class Exponents(NamedTuple):
    """Per token, for M maps: `each` [M, sequences], their `mean` [M] and its standard error `stderr` [M]."""

    each: Tensor
    mean: Tensor
    stderr: Tensor


def lyapunov_exponents(
    maps: TokenMap, n: int, *, tokens: int, sequences: int = 16, settle: int | None = None, seed: int = 0
) -> Exponents:
    """The largest exponent of each of `maps` under independent sequences of random unit keys of width `n`.

    All maps see the same keys, so that their differences are sharper than their errors say. One value
    channel is followed: the others obey the same map.

    Args:
        tokens: counted, after `settle` (tokens / 8) in which the vector finds the growing direction.
        sequences: independent ones, at least 2, for the standard error.
    Raises: HmlcoreError for sizes out of range.
    """
    tokens, sequences = check_int("tokens", tokens, _EVERY), check_int("sequences", sequences, 2)
    settle = tokens // 8 if settle is None else check_int("settle", settle, 0)
    n, seed = check_int("n", n), check_seed("seed", seed)
    settle, tokens = (-(-x // _EVERY) * _EVERY for x in (settle, tokens))
    keys = random_keys(settle + tokens, sequences, n, seed)
    state = random_state(maps, sequences, n, 1, seed + 1)
    total = torch.zeros(len(state), sequences, dtype=torch.float64)
    for t, k in enumerate(keys, 1):
        state = maps.step(k, state)
        if t % _EVERY == 0:
            length = norms(state)
            # A memory that forgets all at once (n = 1 and β = 1, say) has exponent −∞ and goes on as zero.
            state = state / length.clamp_min(torch.finfo(length.dtype).tiny)[:, None, :, None, None]
            if t > settle:
                total += length.log()
    each = total / tokens
    return Exponents(each, each.mean(1), each.std(1) / sequences**0.5)


def mean_square_exponents(maps: TokenMap, n: int) -> Tensor:
    r"""½ log of the growth of E‖S‖² a token, exactly, for keys uniform over the sphere: [M].

    Such keys keep E[S Sᴴ] = Σ ⊗ I isotropic, and Σ is moved by

        Σ ← (1 − 1/n) GΣGᴴ + (1/n) MΣMᴴ,

    a p² × p² matrix whose largest eigenvalue is the growth. By Jensen's inequality it bounds the Lyapunov
    exponent from above: where it is negative, the memory is stable without any simulation.
    """
    n = check_int("n", n)

    def squared(a: Tensor) -> Tensor:
        return torch.einsum("mij,mkl->mikjl", a, a.conj()).flatten(3).flatten(1, 2)

    moments = (1 - 1 / n) * squared(maps.still) + squared(maps.along) / n
    return 0.5 * torch.linalg.eigvals(moments).abs().amax(-1).log()


def crossing(x: Tensor, exponents: Tensor) -> Tensor:
    """Where each column of `exponents` [X, sequences] first becomes positive along ascending `x` [X].

    Interpolated linearly between its neighbours. NaN where a column is positive from the start, or never.
    """
    require(
        x.ndim == 1 and len(x) == len(exponents) and bool((x.diff() > 0).all()),
        f"x must ascend and have a value for each of the {len(exponents)} exponents",
    )
    positive = exponents > 0
    first = positive.int().argmax(0)
    found = positive.any(0) & (first > 0)
    at = first.clamp_min(1)
    columns = torch.arange(exponents.shape[1])
    low, high = exponents[at - 1, columns], exponents[at, columns]
    place = x[at - 1] + (x[at] - x[at - 1]) * (-low / (high - low))
    return torch.where(found, place, torch.full_like(place, torch.nan))
