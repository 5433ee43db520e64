"""The constants of rules that the paper quotes: out of the code that decides, never typed."""

from hmlcore.studies import fair, ground, options
from hmlcore.studies.fair import gate, scoreboard
from hmlcore.studies.kit.ground import NORM, ROTORS, WIDTH
from hmlcore.studies.kit.paired import LEVEL
from hmlcore.studies.kit.scores import FAMILIES
from hmlcore.studies.rotors.claims import SOLVED


def constants() -> dict[str, str]:
    """Name → text."""
    return {
        "rule-margin": f"{scoreboard.MARGIN:g}",
        "rule-margin-books": f"{scoreboard.MARGIN_TEXT:g}",
        "rule-level": f"{LEVEL:g}",
        "rule-reached": f"{gate.REACHED:g}",
        "rule-above-chance": f"{gate.ABOVE_CHANCE:g}",
        "rule-solved": f"{SOLVED:g}",
        "rule-rank-margin": f"{options.MARGIN:g}",
        "rule-plateau-steps": f"{ground.GATE}",
        "families": ", ".join(FAMILIES),
        "rivals": ", ".join(fair.RIVALS),
        "candidates": ", ".join(options.CANDIDATES),
        "ground-width": f"{WIDTH:g}",
        "ground-norm": NORM,
        "rotors": f"{ROTORS['rotors']}",
    }
