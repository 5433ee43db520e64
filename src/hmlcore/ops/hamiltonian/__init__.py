"""The Hamiltonian memory: a phase-space pair (Q, P) per head, advanced one symplectic step a token."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.finite import confined
from hmlcore.ops.hamiltonian.chunk import chunk_hamiltonian, default_chunk_size
from hmlcore.ops.hamiltonian.dynamics import Coefficients, delta, euler, leapfrog
from hmlcore.ops.hamiltonian.naive import naive_hamiltonian
from hmlcore.ops.hamiltonian.step import hamiltonian_step
from hmlcore.ops.hamiltonian.triton import obstacle, triton_hamiltonian, unfit
from hmlcore.ops.self_check import form_error, seeded

__all__ = [
    "Coefficients", "chunk_hamiltonian", "default_chunk_size", "delta", "euler", "hamiltonian",
    "hamiltonian_step", "leapfrog", "naive_hamiltonian", "triton_hamiltonian",
]  # fmt: skip


def hamiltonian(r: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, **options):
    """The op through whichever form suits the tensors and their device; arguments as ``naive_hamiltonian``."""
    given = (r, k, v, *coefficients, options.get("initial_state"))
    form = backend.choose("hamiltonian", k.device, given=given).form

    def run(x: dict) -> tuple[Tensor, Tensor | None]:
        k, v, *gates = x.values()
        return form.function(r, k, v, Coefficients(*gates), **options)

    return confined(run, r, {"k": k, "v": v, **coefficients._asdict()}, options.get("cu_seqlens"))


@seeded
def _inputs(normal, batch: int, length: int, heads: int, n: int, d: int) -> dict[str, Tensor]:
    gate = (batch, length, heads)
    return {
        "r": F.normalize(normal(*gate, n), dim=-1),
        "k": F.normalize(normal(*gate, n), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": F.logsigmoid(normal(*gate) + 4),
        "log_gamma": F.logsigmoid(normal(*gate) - 1),
        "beta": torch.sigmoid(normal(*gate) - 1),
        "h": torch.exp(0.3 * normal(heads)),
        "mu": 0.3 * normal(heads),
        "initial_state": normal(batch, heads, 2, n, d),
    }


def random_inputs(*sizes: int, **options) -> dict[str, Tensor]:
    """Plausible gates and unit keys, for checks and benchmarks; every tensor requires grad.

    Args: sizes B, T, H, N and D; options dtype, device and seed.
    """
    return {name: x.requires_grad_() for name, x in _inputs(*sizes, **options).items()}


def _check(form, naive, device) -> float:
    """Outputs, final state and all gradients of `form` against `naive` on [2, 37, 2, 8, 8]."""

    def call(function, r, k, v, log_alpha, log_gamma, beta, h, mu, state):
        coefficients = leapfrog(log_alpha, log_gamma, beta, h, mu)
        return function(r, k, v, coefficients, initial_state=state, output_final_state=True)

    return form_error(form, naive, _inputs(2, 37, 2, 8, 8, device=device).values(), call)


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
