r"""The chunkwise-parallel form: exact, C tokens at a time, sequential only across chunks.

Inside a chunk, with Φ(t, s) = G_t … G_{s+1} (`products.py`):

    M = cᵀΦ(t−1, s)e (s < t),  O = fᵀΦ(t, s)e (s ≤ t),  u = cᵀΦ(t−1, 0),  w = fᵀΦ(t, 0),  y = Φ(C, s)e
    T = (I + M ∘ KKᵀ)⁻¹,   Z = T(U S − V),   o = W S − (O ∘ RKᵀ) Z,   S′ = Φ(C, 0) S − Yᵀ Z

and only Z and S′ are sequential, a few products a chunk; all else is done at once for a group of chunks
(`groups.py`). The gradient is written out rather than recorded, and takes the groups backwards: T, Z and the
states between chunks are kept, the tables are formed again. `README.md` beside this file derives both. The
triangular system is the WY form of Yang et al. (arXiv 2406.06484), here for a memory of one or two rows.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_int, check_optional
from hmlcore.ops.hamiltonian import groups, library
from hmlcore.ops.hamiltonian.check import check_inputs
from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.precision import without_autocast

# Floats in the keys of a group: 1 MB in fp32. Smaller groups take more steps in Python; of larger ones the
# two dozen tensors of this size leave the cache. Elsewhere steps are dear, and only memory is a bound.
GROUP, LARGE_GROUP = 2**18, 2**24


def default_chunk_size(n: int) -> int:
    """The chunk size that trains fastest on a CPU for keys of dimension `n`: 16, or 32 beyond 48 channels.

    Work inside a chunk grows with C, the state pass shrinks with it.
    """
    return 16 if n <= 48 else 32


def _forward(
    r: Tensor, k: Tensor, v: Tensor, state: Tensor, x: Coefficients, size: int, keep: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """o, the last state and, to be kept: T, Z and the state before each chunk, and after the last."""
    o, parts = v.new_empty(v.shape), _groups(k, size)
    # Where nothing is kept, every group writes over the one before.
    length = k.shape[1] if keep else parts[0].stop
    solve, errors, states, *plain = kept = _kept(v[:, :length], state, x, size)
    states[0] = state.flatten(0, 1).flatten(1, 2)
    for tokens in parts:
        chunks = _chunks(tokens, size) if keep else _chunks(slice(0, tokens.stop - tokens.start), size)
        at = solve[chunks], errors[chunks], states[chunks.start : chunks.stop + 1]
        g = _prepared(r, k, x, tokens, size, state.dtype)
        values = _flat(v, tokens, size, state.dtype)
        groups.state_pass(g, values, *at)
        if plain and keep:
            groups.plain_errors(g, values, at[1].flatten(0, 1), plain[0][chunks].flatten(0, 1))
        _join(o, groups.outputs(g, *at[1:]), tokens, size)
        now = states[chunks.stop]
        if not keep:
            states[0] = now
    return o, now.clone().view(state.shape), list(kept) if keep else []


def _backward(
    operands: Sequence[Tensor], x: Coefficients, kept: Sequence[Tensor], d_o: Tensor, d_state: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Coefficients]:
    """The gradients of r, k, v, the first state and the coefficients."""
    (r, k, _v), (solve, errors, states, *plain) = operands, kept
    d_r, d_k, d_v = (y.new_empty(y.shape) for y in operands)
    d_x = x.map(lambda y: y.new_empty(y.shape))
    now = d_state.flatten(0, 1).flatten(1, 2)
    for tokens in reversed(_groups(k, size)):
        chunks = _chunks(tokens, size)
        g = _prepared(r, k, x, tokens, size, states.dtype)
        seen = _flat(d_o, tokens, size, states.dtype)
        d_errors, d_values, d_states = groups.state_pass_gradient(g, solve[chunks], seen, now)
        if plain:
            d_turn = groups.turn_gradient(g, plain[0][chunks].flatten(0, 1), d_errors, d_values)
        d_queries, d_keys, d_gates = groups.group_gradient(
            g, seen, d_values, errors[chunks], states[chunks], d_states[1:]
        )
        d_gates = d_gates._replace(e=d_turn) if plain else d_gates
        found = (d_r, d_queries), (d_k, d_keys), (d_v, d_values), *zip(d_x, d_gates, strict=True)
        for whole, part in found:
            if whole is not None and part is not None:
                _join(whole, part, tokens, size)
        now = d_states[0]
    return d_r, d_k, d_v, now.clone().view(d_state.shape), d_x


def _kept(v: Tensor, state: Tensor, x: Coefficients, size: int) -> tuple[Tensor, ...]:
    """Empty T [m, S, C, C], Z [m, S, C, D] and states [m + 1, S, pN, D]; for a complex e, T in pairs and z."""
    batch, heads, rows, n, d = state.shape
    chunks, heads = -(-v.shape[1] // size), batch * heads
    errors = [state.new_empty(chunks, heads, size, d) for _ in range(1 + x.turning)]
    return (
        state.new_empty(chunks, heads, size, size * (1 + x.turning)),
        errors[0],
        state.new_empty(chunks + 1, heads, rows * n, d),
        *errors[1:],
    )


def _groups(k: Tensor, size: int) -> list[slice]:
    """The tokens of each group: whole chunks, except at the end."""
    batch, length, heads, n = k.shape
    most = GROUP if k.device.type == "cpu" else LARGE_GROUP
    tokens = max(1, most // (batch * heads * size * n)) * size
    return [slice(first, min(first + tokens, length)) for first in range(0, length, tokens)]


def _chunks(tokens: slice, size: int) -> slice:
    return slice(tokens.start // size, -(-tokens.stop // size))


def _split(x: Tensor, tokens: slice, size: int) -> Tensor:
    """[B, T, H, ...] to a view [m, B, H, C, ...] of these tokens, padded with zeros.

    Zero padding is inert: log α = log γ = 0 keeps the state, a = e = 0 moves and writes nothing.
    """
    x = x[:, tokens]
    if missing := -x.shape[1] % size:
        x = F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing))
    return x.unflatten(1, (-1, size)).movedim(0, 1).transpose(2, 3)


def _flat(x: Tensor, tokens: slice, size: int, dtype: torch.dtype) -> Tensor:
    """The same as a new [G, C, ...] in `dtype`."""
    part = _split(x, tokens, size)
    return torch.empty(part.shape, dtype=dtype, device=x.device).copy_(part).flatten(0, 2)


def _join(whole: Tensor, part: Tensor, tokens: slice, size: int) -> None:
    """The inverse of :func:`_flat`, into `whole`."""
    batch, _, heads = whole.shape[:3]
    part = part.view(-1, batch, heads, *part.shape[1:]).transpose(2, 3).transpose(0, 1)  # [B, m, C, H, ...]
    whole = whole[:, tokens]
    chunks, rest = divmod(whole.shape[1], size)
    whole[:, : chunks * size].unflatten(1, (chunks, size)).copy_(part[:, :chunks])
    if rest:
        whole[:, chunks * size :] = part[:, chunks, :rest]


def _prepared(
    r: Tensor, k: Tensor, x: Coefficients, tokens: slice, size: int, dtype: torch.dtype
) -> groups.Group:
    parts = [_split(y, tokens, size) for y in (k, r)]
    vectors = torch.empty(2, *parts[0].shape, dtype=dtype, device=k.device)
    for to, part in zip(vectors, parts, strict=True):
        to.copy_(part)
    return groups.prepare(vectors.flatten(1, 3), x.map(lambda y: _flat(y, tokens, size, dtype)))


memory = library.register("hamiltonian_chunk", _forward, _backward, _kept)


@without_autocast
@library.packs
def chunk_hamiltonian(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The Hamiltonian memory, `chunk_size` tokens at a time (None: :func:`default_chunk_size`);
    the other arguments as ``naive_hamiltonian``.

    State, solve and coefficients are fp32 (float64 for float64 values) whatever the operands' dtype
    and autocast; `o` has the dtype of `v`. Differentiable once. Work per token O(C(N + D) + pND); memory
    for the gradient, beside the arguments, C + D + pND/C numbers a token and head.
    """
    chunk_size = check_optional("chunk_size", chunk_size, check_int)
    state = check_inputs(r, k, v, coefficients, initial_state)
    size = min(chunk_size or default_chunk_size(k.shape[-1]), k.shape[1])
    o, last = memory(r, k, v, state, coefficients, size)
    return o, last if output_final_state else None
