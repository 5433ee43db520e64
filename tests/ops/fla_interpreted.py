"""Run with TRITON_INTERPRET=1: prints each op whose form calls a Triton kernel, and its error against naive."""

import builtins

import fla.ops.common.chunk_delta_h
import fla.ops.common.chunk_h
import triton.runtime.autotuner
import triton.runtime.interpreter

import hmlcore.ops  # noqa: F401  registers the ops
from hmlcore.ops import backend


def loop(*bounds):
    """`range` over a kernel's integers; the interpreter's own yields ints, which lack a tensor's methods."""
    for i in builtins.range(*map(int, bounds)):
        yield triton.runtime.interpreter._implicit_cvt(i)


fla.ops.common.chunk_h.range = fla.ops.common.chunk_delta_h.range = loop
# Nothing to tune: any configuration computes the same.
triton.runtime.autotuner.Autotuner.do_bench = lambda self, call, quantiles: [1.0] * len(quantiles)

for op in ("delta_rule", "retention", "ssd"):
    form = backend._FORMS[op][0]
    print(op, backend.self_check(backend.Choice(op, form, ""), "cpu"))
