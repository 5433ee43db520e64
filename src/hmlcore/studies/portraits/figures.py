"""What memories hold while they read: states of all mixers, and one head's way through phase space."""

from hmlcore.studies.kit.figure import Figure
from hmlcore.studies.portraits.orbit import phase_portrait
from hmlcore.studies.portraits.states import memory_states

FIGURES = {
    "memory_states": Figure(
        "portraits",
        memory_states,
        "What each mixer's last block holds while it reads the expression on top: up to 48 components of its "
        "state, evenly spread, after every token. Each panel has its own scale of color. Where a panel is "
        "empty the state has not grown so far.",
        traced=True,
        every_mixer=True,
    ),
    "phase_portrait": Figure(
        "orbit",
        phase_portrait,
        "One trained head reading real text. Left: its state in phase space, position q against momentum p. "
        "Right: its energy, and the gates that each token sets: what it writes (β), and what it keeps of the "
        "momentum (γ) and of the state (α). The slider moves through the text.",
        traced=True,
    ),
}
