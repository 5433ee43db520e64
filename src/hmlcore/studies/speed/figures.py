"""The figures and tables of speed, memory and the ops."""

from hmlcore.studies.kit.figure import Figure, TableOf
from hmlcore.studies.speed.layer_figures import speed_decode, speed_memory, speed_paths_table, speed_train
from hmlcore.studies.speed.op_figures import op_decode, op_goals_table, op_train
from hmlcore.studies.speed.sizes import memory_table, state_size_figure

_RINGS = (
    "A ring marks the length from which on a line stays below attention's. "
    "Where a line ends, a longer sequence was over the limit of time or memory."
)

_LIMITS = "Dotted, for HML and attention: what the machine cannot beat,"
FIGURES = {
    "state_size": Figure(
        "speed",
        state_size_figure,
        "What a memory costs: bytes of state that one sequence needs and floating-point operations per token, "
        "against length, both axes logarithmic. Computed from the models' sizes, not measured.",
    ),
    "speed_train": Figure(
        "speed",
        speed_train,
        "Speed: time per token of forward and backward of one layer against length; all mixers timed in turns "
        f"in one process. {_LIMITS} three forward passes at the rate of a large matrix product. {_RINGS}",
    ),
    "speed_decode": Figure(
        "speed",
        speed_decode,
        f"Speed: time of one decoded token against the tokens before it. {_LIMITS} weights and state read once "
        f"at the bandwidth of a copy. {_RINGS}",
    ),
    "speed_memory": Figure(
        "speed",
        speed_memory,
        "Speed: most memory that forward and backward of one layer hold at once, in bytes per token, against "
        "length. Where a line ends, a longer sequence was over the limit of time or memory.",
    ),
    "op_train": Figure(
        "op_speed",
        op_train,
        "Ops without a layer: time per token of forward and backward against length, timed in turns in one "
        "process; memories at equal state bytes but for HML with p = 1, which has half. Dotted, one line for "
        "ops that share it: what the machine cannot beat, the larger of bytes that must be moved over its copy "
        f"bandwidth and FLOPs over its matrix-product rate. {_RINGS}",
    ),
    "op_decode": Figure(
        "op_speed",
        op_decode,
        "Ops without a layer: one decoded token against the tokens before it. Above, its time; dotted, what "
        "the machine cannot beat. Below, the bytes that have to be moved for it: state, operands and output.",
    ),
    "op_memory": Figure(
        "op_speed",
        speed_memory,
        "Ops without a layer: most memory that forward and backward hold at once beside their operands, in "
        "bytes per token, against length.",
    ),
}

TABLES = {
    "speed_state": TableOf("speed", memory_table),
    "speed_paths": TableOf("speed", speed_paths_table),
    "op_goals": TableOf("op_speed", op_goals_table),
}
