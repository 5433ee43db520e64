"""Inputs of the Hamiltonian memory, seeded, and the comparison of one form with another."""

import torch

from hmlcore.ops.hamiltonian import delta, euler, leapfrog

DYNAMICS = {"leapfrog": leapfrog, "euler": euler, "delta": delta}


def draw(dynamics, length, *, batch=2, heads=2, n=5, d=3, dtype=torch.float64, seed=0, gamma=None):
    """Named leaves for `dynamics`; `gamma` fixes the friction of every token."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    gate = (batch, length, heads)
    rows = 1 if dynamics == "delta" else 2
    x = {
        "r": torch.nn.functional.normalize(normal(*gate, n), dim=-1),
        "k": torch.nn.functional.normalize(normal(*gate, n), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": -0.05 * torch.rand(gate, generator=g, dtype=torch.float64),
        "beta": torch.rand(gate, generator=g, dtype=torch.float64),
        "initial_state": normal(batch, heads, rows, n, d),
    }
    if rows == 2:
        friction = torch.rand(gate, generator=g, dtype=torch.float64) * 0.6 + 0.02
        x["log_gamma"] = (torch.full(gate, gamma, dtype=torch.float64) if gamma else friction).log()
        x["h"] = torch.exp(0.2 * normal(heads))
        x["mu"] = 0.3 * normal(heads)
    return {name: t.to(dtype).requires_grad_() for name, t in x.items()}


def coefficients(dynamics, x):
    """The op's coefficients from named leaves."""
    if dynamics == "delta":
        return delta(x["log_alpha"], x["beta"])
    return DYNAMICS[dynamics](x["log_alpha"], x["log_gamma"], x["beta"], x["h"], x["mu"])


def apply(form, dynamics, x, *, start=True, **options):
    """Outputs and final state of `form`."""
    given = x["initial_state"] if start else None
    return form(
        x["r"], x["k"], x["v"], coefficients(dynamics, x),
        initial_state=given, output_final_state=True, **options,
    )  # fmt: skip


def everything(form, dynamics, x, *, start=True, **options):
    """Outputs, final state and the gradient of every leaf, by name."""
    o, state = apply(form, dynamics, x, start=start, **options)
    leaves = {name: t for name, t in x.items() if start or name != "initial_state"}
    return {"o": o, "state": state} | gradients(o, state, leaves)


def gradients(o, state, leaves):
    """The gradient of one scalar of `o` and `state` for every leaf, by name."""
    # Unequal weights, so that a permuted gradient shows.
    weights = (torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view_as(y) for y in (o, state))
    loss = sum((w * y.sin()).sum() for w, y in zip(weights, (o, state), strict=True))
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return {f"d{name}": g for name, g in zip(leaves, grads, strict=True)}


def errors(found, wanted):
    """Name → ‖found − wanted‖ / ‖wanted‖; NaN counts as infinite."""
    assert found.keys() == wanted.keys()
    gaps = {}
    for name, w in wanted.items():
        w = w.detach().double()
        gap = float((found[name].detach().double() - w).norm() / w.norm().clamp_min(1e-30))
        gaps[name] = gap if gap == gap else float("inf")
    return gaps


def assert_close(found, wanted, tolerance):
    """Every named tensor of `found` within `tolerance` (relative) of `wanted`."""
    off = {name: gap for name, gap in errors(found, wanted).items() if gap > tolerance}
    assert not off, f"off by more than {tolerance:g}: {off}"
