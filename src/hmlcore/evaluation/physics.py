"""The memory as a mechanical system: orbits and energy of a trained head on text, or of any dynamics."""

import math

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_number
from hmlcore.errors import require
from hmlcore.layers import HML, recording
from hmlcore.models import Backbone
from hmlcore.ops.oscillator import as_complex


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
    index = model.block_index(layer)
    was_training = model.training
    model.eval()
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


@torch.no_grad()
def set_gates(layer: HML, *, beta: float, gamma: float, theta: float = 0.0) -> HML:
    """Constant gates in place of those that tokens choose, equal mechanics for every dynamics; h = 1.

    Friction γ acts where each has it: on momentum alone where there is a gate γ; as α² = γ, which contracts
    phase space as much, on Q and P alike where there are two rows without one. One row has no friction.

    Args:
        beta, gamma: strictly between 0 and 1. theta: the oscillator's angle, in radians.
    Returns: `layer`, changed.
    """
    theta = check_number("theta", theta)
    for name, x in (("beta", beta), ("gamma", gamma)):
        check_number(name, x)
        require(0 < x < 1, f"{name} must be between 0 and 1, both excluded, got {x}")
    gates = layer.rule.gates
    rate = -0.5 * math.log(gamma) if layer.rows == 2 and "gamma" not in gates else 1e-12
    # α = exp(−a·softplus(x)) with a = 0.05·e^A.
    slow = rate / (0.05 * layer.log_a.double().exp())
    chosen = {"beta": _logit(beta), "gamma": _logit(gamma), "alpha": slow.expm1().log().to(layer.log_a.dtype)}
    layer.gate_proj.weight.zero_()
    for name, bias in zip(gates, layer.gate_proj.bias.view(len(gates), -1), strict=True):
        if name in chosen:
            bias.copy_(torch.as_tensor(chosen[name]))
    if "theta" in dict(layer.rule.named_parameters()):
        layer.rule.get_parameter("theta").fill_(theta)
    return layer


@torch.no_grad()
def orbit(layer: HML, x: Tensor, token: int) -> list[dict]:
    """One row a token: how a memory of one head comes to hold one association, in phase space.

    The association is that of `token`: its key k and value v, as they were written. Seen along them the state
    is q = kᵀQv/‖v‖² and p = kᵀPv/‖v‖²: q = 1 at rest is perfect recall. Where value channels are pairs, Q
    and v are complex and q + ip is that with v conjugated. Where there is one real row, p is q's own change.

    Args:
        layer: untrained or trained, with one head. x: [T, d_model], its inputs. token: an index into x.
    Returns: rows with t, q, p, second (what p is: "momentum", "imaginary part" or "change"), and the energies
        that the dynamics have, kinetic (0 without momentum) and potential.
    Raises: HmlcoreError for several heads, or a token that is not in x.
    """
    require(layer.num_heads == 1, f"an orbit is of one head, the layer has num_heads = {layer.num_heads}")
    token = check_int("token", token, 0)
    require(token < len(x), f"token must be between 0 and {len(x) - 1}, got {token}")
    with recording(layer) as traces:
        layer(x[None])
    trace = traces[""]
    key, value = trace["key"][0, token, 0], trace["value"][0, token, 0]
    seen = torch.einsum("n,tpnd->ptd", key, trace["state"][0, :, 0])
    size = value.square().sum()
    if layer.rule.pairs:
        both = as_complex(seen[0]) @ as_complex(value).conj() / size
        q, p, second = both.real, both.imag, "imaginary part"
    elif layer.rows == 2:
        q, p = seen @ value / size
        second = "momentum"
    else:
        q = seen[0] @ value / size
        p, second = q.diff(prepend=q.new_zeros(1)), "change"
    record = trace.records[0]
    potential = record["potential"][0, :, 0]
    kinetic = record["kinetic"][0, :, 0] if "kinetic" in record else torch.zeros_like(potential)
    columns = {"q": q, "p": p, "kinetic": kinetic, "potential": potential}
    return [
        {"t": t, **{name: float(y[t]) for name, y in columns.items()}, "second": second} for t in range(len(x))
    ]


def _logit(x: float) -> float:
    return math.log(x / (1 - x))
