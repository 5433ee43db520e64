"""The memory as a mechanical system: orbits and energy of one trained head on one real input."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.layers import recording
from hmlcore.models import Backbone


@torch.no_grad()
def phase_portrait(model: Backbone, tokens: Tensor, layer: int = -1) -> list[dict]:
    """One row a token: the orbit, the energies and the gates of the head with the most momentum.

    The head is the one with the largest median friction coefficient γ (least friction). Its N×D
    matrices are seen along one pair of directions (a, b), the leading singular pair of the last Q:
    q_t = aᵀQ_t b, p_t = aᵀP_t b. Energies are of the whole head, after the token's step:
    kinetic ½‖P_t‖², potential ½β_t‖k_tᵀQ_t − v_t‖².

    Args:
        tokens: [T] one sequence. layer: which block, −1 the last.
    Returns: rows with t, byte (the token), q, p, kinetic, potential, alpha, beta, gamma, head.
    Raises: HmlcoreError where the block's mixer has no momentum.
    """
    was_training = model.training
    model.eval()
    index = range(len(model.blocks))[layer]
    with recording(model) as traces:
        model.hidden(tokens[None].to(model.embedding.weight.device))
    trace = traces[f"blocks.{index}.mixer"]
    model.train(was_training)
    require(
        bool(trace.records) and "kinetic" in trace.records[0],
        f"block {index} keeps no momentum: a phase portrait needs mixer 'hml' with two rows",
    )
    head = int(trace["gamma"][0].median(0).values.argmax())
    path = trace["state"][0, :, head]  # [T, 2, N, D]
    left, _, right = torch.linalg.svd(path[-1, 0])
    a, b = left[:, 0], right[0]
    orbit = torch.einsum("n,tpnd,d->tp", a, path, b).cpu()
    scalars = {n: trace[n][0, :, head].cpu() for n in ("kinetic", "potential", "alpha", "beta", "gamma")}
    return [
        {
            "t": t,
            "byte": int(tokens[t]),
            "q": float(orbit[t, 0]),
            "p": float(orbit[t, 1]),
            **{name: float(x[t]) for name, x in scalars.items()},
            "head": head,
        }
        for t in range(len(tokens))
    ]
