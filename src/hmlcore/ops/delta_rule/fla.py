"""The gated delta rule through flash-linear-attention's Triton kernels, forward and backward."""

from torch import Tensor

from hmlcore.ops.extras import fla_form, no_kernel, operands, packing
from hmlcore.ops.matrix_memory import check_memory
from hmlcore.ops.once import once
from hmlcore.ops.precision import without_autocast


@without_autocast
def fla_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """``chunk_gated_delta_rule``, its query unscaled and its keys as given; arguments as ``naive_delta_rule``.

    Gates and state are fp32; matrices are multiplied in the widest dtype of q, k and v (TF32 for fp32).
    """
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    sequences, packed = packing(cu_seqlens, k)
    state = check_memory(q, k, v, {"log_alpha": log_alpha, "beta": beta}, initial_state, sequences=sequences)
    start = None if initial_state is None else state
    q, k, v, log_alpha, beta, start = once(
        "fla_delta_rule", "naive_delta_rule", q, k, v, log_alpha, beta, start
    )
    same_q, same_k, same_v = operands(q, k, v)
    o, final = chunk_gated_delta_rule(
        q=same_q, k=same_k, v=same_v, g=log_alpha.float(), beta=beta.float(), scale=1.0,
        initial_state=start, output_final_state=output_final_state, **packed,
    )  # fmt: skip
    return o.to(v.dtype), final if output_final_state else None


def _unfit(q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, *rest: Tensor | None) -> str | None:
    if log_alpha.ndim > 3:
        return "it takes one decay a head, given one for each channel"
    if k.shape[-1] > 256:
        return f"it takes keys of at most 256 channels, given {k.shape[-1]}"
    return no_kernel(q, k, v, log_alpha, *rest)


FLA = fla_form(fla_delta_rule, "fla.ops.gated_delta_rule", _unfit)
