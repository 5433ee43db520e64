"""The grids of speed: layers against layers, and ops against ops, each timed in turns in one process."""

from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.speed import layers, ops
from hmlcore.studies.speed.op_table import op_table

PROTOCOLS = {
    "speed": Protocol(layers.grid, side_by_side=layers.measure, report=layers.timing_table),
    "op_speed": Protocol(ops.grid, side_by_side=ops.measure, report=op_table),
}
