"""SSD through flash-linear-attention's Triton kernels, forward and backward. (It has none for S6.)"""

from torch import Tensor

from hmlcore.ops.extras import fla_form, operands
from hmlcore.ops.once import once
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.selective_scan.naive import check_ssd


@without_autocast
def fla_ssd(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``chunk_simple_gla`` with v = Δx, k = B, q = C and log decays ΔA; arguments as ``naive_ssd``.

    Its state is N×P, the transpose of ours; B and C that the heads share are copied to every one.
    """
    from fla.ops.simple_gla import chunk_simple_gla

    x, dt, a, b, c, initial_state = once("fla_ssd", "naive_ssd", x, dt, a, b, c, initial_state)
    _, dt_wide, a_wide, _, _, state = check_ssd(x, dt, a, b, c, initial_state)
    heads = x.shape[2]
    wide_x, *own = operands(x, b, c)
    k, q = (y if y.ndim == 4 else y[:, :, None].expand(-1, -1, heads, -1) for y in own)
    y, final = chunk_simple_gla(
        q=q, k=k, v=(wide_x * dt_wide[..., None]).to(wide_x.dtype), g=dt_wide * a_wide, scale=1.0,
        initial_state=None if initial_state is None else state.mT, output_final_state=True,
    )  # fmt: skip
    return y.to(x.dtype), final.mT


FLA = fla_form(fla_ssd, "fla.ops.simple_gla")
