"""The figures of the physics."""

from hmlcore.studies.kit.figure import Figure
from hmlcore.studies.physics.curves import energy_by_token, gradient_by_lag, reversal_error
from hmlcore.studies.physics.orbits import phase_portraits
from hmlcore.studies.physics.stability import lyapunov_map

FIGURES = {
    "lyapunov_map": Figure(
        "physics",
        lyapunov_map,
        "Where the memory is stable: largest Lyapunov exponent under random unit keys, blue where an error "
        "fades and orange where it grows; α = 1 but in the map of the delta rule. Dashed: the rule "
        "η = 1.5(1 − γ); solid: the boundary of wide keys, 2(1 − γ); dotted: the bound of one constant key, "
        "2(1 + γ); rings: where the exponent was measured to cross zero. Buttons choose the dynamics.",
    ),
    "reversal_error": Figure(
        "physics",
        reversal_error,
        "The way back in single precision: relative error of the start after a number of tokens and the exact "
        "inverse of each, mean of the key sequences. A line ends where the error is as large as the start "
        "itself (dotted).",
    ),
    "energy_by_token": Figure(
        "physics",
        energy_by_token,
        "Energy of the memory without input, over that at the start, geometric mean of the key sequences. With "
        "one constant key: of what it addresses; with changing keys: averaged over all keys.",
    ),
    "gradient_by_lag": Figure(
        "physics",
        gradient_by_lag,
        "What a value written long ago still does: length of the gradient of an output channel with respect to "
        "it, untrained memories with constant gates, root mean square over key sequences and queries. Lines "
        "that explode or vanish leave the picture.",
    ),
    "phase_portraits": Figure(
        "physics",
        phase_portraits,
        "Every dynamics of the memory, untrained and with equal friction, driven by the same keys and values. "
        "Above, one association in phase space: what its key recalls (q) against the momentum; the oscillator "
        "has the imaginary part of the recall there, and the delta rule, which has no momentum, the change of "
        "q by a token. Below, the energy of the head over its largest.",
        traced=True,
        every_mixer=True,
    ),
}
