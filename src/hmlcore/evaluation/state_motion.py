"""How a state moves: growth of its Jacobian from token to token, and its energy while nothing comes in."""

import copy
from functools import reduce
from operator import add

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_seed
from hmlcore.errors import require
from hmlcore.evaluation.conservation import drift
from hmlcore.evaluation.memories import check_tokens, grows, memories, pull_back, run_blocks, states_at
from hmlcore.layers import recording
from hmlcore.models import Backbone


def spectral_radius_proxy(
    model: Backbone, tokens: Tensor, lag: int, *, count: int = 4, every: int = 16, seed: int = 0
) -> list[dict]:
    r"""log‖Jᵀu‖ / lag: growth per token of the Jacobian J from the memory `lag` tokens ago to the last one.

    For a u of random direction ‖Jᵀu‖ and ‖Ju‖ have one distribution, and Jᵀu is what automatic differentiation
    gives exactly for every mixer. It is carried back `every` tokens at a time, in fp64, and renormalised there
    (Benettin et al., Meccanica 15, 1980). The short convolution's windows carry it too, but do not count.
    For a linear memory of J = Aᵗ and many tokens the value is the log of A's spectral radius.

    Args: tokens [B, T]; the first T − lag only settle the state. count, directions.
    Returns: one row with metric, lag, value (mean over directions and batch), stderr (over the batch, None
        for one sequence), n and note. A state that grows has no such J: value None.
    Raises: HmlcoreError for a lag that the sequence does not have.
    """
    check_tokens(tokens)
    batch, length = tokens.shape
    lag, count = check_int("lag", lag), check_int("count", count)
    every, seed = check_int("every", every), check_seed("seed", seed)
    require(lag <= length, f"lag must be between 1 and T = {length}, got {lag}")
    row = {"metric": "spectral_radius_proxy", "lag": lag, "value": None, "stderr": None, "n": batch}
    if any(grows(block.mixer) for block in model.blocks):
        return [row | {"note": "the state grows: no Jacobian maps one to the next of equal size"}]
    wide = copy.deepcopy(model).double().eval()
    device = wide.embedding.weight.device
    x = wide.embedding(tokens.to(device)).detach()
    with torch.no_grad():
        states = wide.init_state(batch)
        if lag < length:
            _, states = run_blocks(wide, x[:, : length - lag], states)
    x = x[:, length - lag :]
    starts = list(range(0, lag, every))
    kept = states_at(wide, x, states, starts)
    g = torch.Generator().manual_seed(seed)
    kind = _is_memory(states)
    shapes = [y.shape for state in states for y in state if y.is_floating_point()]
    above = [
        [torch.randn(s, generator=g, dtype=x.dtype).to(device) * m for s, m in zip(shapes, kind, strict=True)]
        for _ in range(count)
    ]
    _, above = _renormalised(above, kind)
    total = torch.zeros(count, batch, dtype=torch.float64)
    for a, before in zip(reversed(starts), reversed(kept), strict=True):
        _, above = pull_back(wide, x[:, a : a + every], before, above)
        growth, above = _renormalised(above, kind)
        total = total + growth
    each = (total / lag).mean(0)
    stderr = float(each.std() / batch**0.5) if batch > 1 else None
    return [row | {"value": float(each.mean()), "stderr": stderr, "note": None}]


def _is_memory(states: list) -> list[bool]:
    """For each floating tensor of the states: whether it is memory."""
    held = {id(x) for x in memories(states)}
    return [id(x) in held for state in states for x in state if x.is_floating_point()]


def _renormalised(above: list[list[Tensor]], kind: list[bool]) -> tuple[Tensor, list[list[Tensor]]]:
    """log lengths [G, B] of the memory's parts, and everything divided by them."""
    logs, scaled = [], []
    for parts in above:
        squares = reduce(add, (p.square().flatten(1).sum(1) for p, m in zip(parts, kind, strict=True) if m))
        # A memory that forgets all at once has growth −∞ and goes on as zero.
        length = squares.sqrt().clamp_min(torch.finfo(squares.dtype).tiny)
        logs.append(length.log().cpu())
        scaled.append([p / length.view(-1, *[1] * (p.ndim - 1)) for p in parts])
    return torch.stack(logs), scaled


@torch.no_grad()
def energy_drift(model: Backbone, tokens: Tensor, blank: int, count: int, layer: int = -1) -> list[dict]:
    """How much of a block's energy is lost or gained while one token is repeated `count` times.

    `tokens` [B, T] fill the memory, then `blank` follows. Energy is kinetic + potential of each head as
    :mod:`hmlcore.layers.trace` records it. It is compared with that after the first blank whose convolution
    sees blanks only, so in the first block key and value are the same all along; above it they still change.
    What the gates dissipate counts: a drift of an integrator alone is seen with γ = α = 1.

    Args: blank, a token. count, blanks compared. layer: which block, −1 the last.
    Returns: rows with metric ("energy_change": E_end / E_0 − 1; "energy_drift": the largest |E_t / E_0 − 1|),
        head, lag (count), value (mean over the batch), stderr (None for one sequence) and n.
    Raises: HmlcoreError where the block's mixer has no momentum.
    """
    check_tokens(tokens)
    blank, count = check_int("blank", blank, 0), check_int("count", count)
    require(blank < model.config.vocab_size, f"blank must be a token of the model, got {blank}")
    index = model.block_index(layer)
    was_training = model.training
    model.eval()
    device = model.embedding.weight.device
    _, states = model.hidden(tokens.to(device))
    mixer = model.blocks[index].mixer
    conv = getattr(mixer, "conv", None)
    settle = 1 if conv is None else conv.shape[1]
    blanks = torch.full((len(tokens), settle + count), blank, device=device)
    with recording(model) as traces:
        model.hidden(blanks, states)
    model.train(was_training)
    trace = traces[f"blocks.{index}.mixer"]
    require(
        bool(trace.records) and "kinetic" in trace.records[0],
        f"block {index} keeps no momentum: an energy needs mixer 'hml' with two rows",
    )
    energy = (trace["kinetic"] + trace["potential"])[:, settle - 1 :].double().cpu()  # [B, count + 1, H]
    rows, n = [], len(tokens)
    for head in range(energy.shape[2]):
        path = energy[:, :, head].mT
        for metric, each in (("energy_change", path[-1] / path[0] - 1), ("energy_drift", drift(path))):
            stderr = float(each.std() / n**0.5) if n > 1 else None
            row = {"metric": metric, "head": head, "lag": count}
            rows.append(row | {"value": float(each.mean()), "stderr": stderr, "n": n})
    return rows
