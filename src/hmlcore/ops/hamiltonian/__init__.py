"""The Hamiltonian memory: a phase-space pair (Q, P) per head, advanced one symplectic step a token."""

import torch
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.hamiltonian.chunk import chunk_hamiltonian, default_chunk_size
from hmlcore.ops.hamiltonian.dynamics import Coefficients, delta, euler, leapfrog
from hmlcore.ops.hamiltonian.naive import naive_hamiltonian
from hmlcore.ops.hamiltonian.step import hamiltonian_step
from hmlcore.ops.hamiltonian.triton import obstacle, triton_hamiltonian, unfit

__all__ = [
    "Coefficients", "chunk_hamiltonian", "default_chunk_size", "delta", "euler", "hamiltonian",
    "hamiltonian_step", "leapfrog", "naive_hamiltonian", "triton_hamiltonian",
]  # fmt: skip


def hamiltonian(r: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, **options):
    """The op through whichever form suits the tensors and their device; arguments as ``naive_hamiltonian``."""
    given = (r, k, v, *coefficients, options.get("initial_state"))
    return backend.choose("hamiltonian", k.device, given=given).form.function(r, k, v, coefficients, **options)


def random_inputs(
    batch: int, length: int, heads: int, n: int, d: int, *, dtype=torch.float32, device="cpu", seed: int = 0
) -> dict[str, Tensor]:
    """Plausible gates and unit keys, for checks and benchmarks; every tensor requires grad."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    unit = torch.nn.functional.normalize
    gate = (batch, length, heads)
    tensors = {
        "r": unit(normal(*gate, n), dim=-1),
        "k": unit(normal(*gate, n), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": torch.nn.functional.logsigmoid(normal(*gate) + 4),
        "log_gamma": torch.nn.functional.logsigmoid(normal(*gate) - 1),
        "beta": torch.sigmoid(normal(*gate) - 1),
        "h": torch.exp(0.3 * normal(heads)),
        "mu": 0.3 * normal(heads),
        "initial_state": normal(batch, heads, 2, n, d),
    }
    return {name: x.to(device, dtype).requires_grad_() for name, x in tensors.items()}


def _check(form, naive, device) -> float:
    """Outputs, final state and all gradients of `form` against `naive` on [2, 37, 2, 8, 8]."""
    results = []
    for function in (form, naive):
        x = random_inputs(2, 37, 2, 8, 8, device=device)
        coefficients = leapfrog(x["log_alpha"], x["log_gamma"], x["beta"], x["h"], x["mu"])
        o, s = function(
            x["r"], x["k"], x["v"], coefficients,
            initial_state=x["initial_state"], output_final_state=True,
        )  # fmt: skip
        grads = torch.autograd.grad(o.sin().sum() + s.sin().sum(), list(x.values()))
        results.append((o, s, *grads))
    return max(backend.relative_error(a, b) for a, b in zip(*results, strict=True))


backend.register(
    "hamiltonian",
    [
        backend.Form(
            "triton",
            triton_hamiltonian,
            obstacle,
            "Triton kernels, forward and backward",
            kernel=True,
            unfit=unfit,
        ),
        backend.Form("chunk", chunk_hamiltonian, backend.anywhere, "chunkwise-parallel torch, any device"),
        backend.Form("naive", naive_hamiltonian, backend.anywhere, "one token at a time, the law"),
    ],
    _check,
)
