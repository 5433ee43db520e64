"""Retention through flash-linear-attention's Triton kernels, forward and backward."""

from torch import Tensor

from hmlcore.ops.extras import fla_form, operands, packing
from hmlcore.ops.once import once
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.retention.naive import check_retention


@without_autocast
def fla_retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """``chunk_simple_gla`` with one decay a head, its query unscaled; arguments as ``naive_retention``.

    The decays go in as gates, one a token: given as constants they would get no gradient.
    """
    from fla.ops.simple_gla import chunk_simple_gla

    sequences, packed = packing(cu_seqlens, k)
    state = check_retention(q, k, v, log_gamma, initial_state, sequences=sequences)
    start = None if initial_state is None else state
    q, k, v, log_gamma, start = once("fla_retention", "naive_retention", q, k, v, log_gamma, start)
    same_q, same_k, same_v = operands(q, k, v)
    o, final = chunk_simple_gla(
        q=same_q, k=same_k, v=same_v, g=log_gamma.float().expand(k.shape[:3]), scale=1.0,
        initial_state=start, output_final_state=output_final_state, **packed,
    )  # fmt: skip
    return o.to(v.dtype), final if output_final_state else None


FLA = fla_form(fla_retention, "fla.ops.simple_gla")
