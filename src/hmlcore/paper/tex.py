"""Text as LaTeX sets it: what means something to it is escaped, and signs beyond ASCII get their commands."""

import re

from hmlcore.errors import require

_SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\^{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
    | {character: f"\\{character}" for character in "&%$#_{}"}
)
_MATH = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "η": r"\eta", "θ": r"\theta", "μ": r"\mu", "ρ": r"\rho",
    "φ": r"\varphi", "Φ": r"\Phi", "σ": r"\sigma", "ω": r"\omega", "Δ": r"\Delta", "−": "-", "×": r"\times",
    "·": r"\cdot", "±": r"\pm", "≤": r"\le", "≥": r"\ge", "≈": r"\approx", "≠": r"\ne", "→": r"\to",
    "←": r"\leftarrow", "∞": r"\infty", "∘": r"\circ", "²": "^2", "‖": r"\Vert", "∈": r"\in",
}  # fmt: skip
_TEXT = {"–": "--", "—": "---", "…": r"\dots{}", "“": "``", "”": "''", "‘": "`", "’": "'", "\u00a0": "~"}
_BEYOND = str.maketrans({sign: rf"\ensuremath{{{command}}}" for sign, command in _MATH.items()} | _TEXT)

_NEGATIVE = re.compile(r"(?<![\w.`-])-(?=[\d.])")


def signs(latex: str, where: str) -> str:
    """LaTeX with its signs beyond ASCII as commands.

    Raises: HmlcoreError for one that has none here, naming it and `where` it stands.
    """
    done = latex.translate(_BEYOND)
    left = sorted({sign for sign in done if ord(sign) > 127})
    require(not left, f"{where} has {' '.join(left)}, which hmlcore.paper.tex cannot set yet: add it there")
    return done


def escaped(text: str, where: str = "a text") -> str:
    """Plain text as LaTeX; what is between backticks is code."""
    parts = _NEGATIVE.sub("−", " ".join(text.split())).split("`")
    if len(parts) % 2 == 0:  # an odd one stands for itself
        parts = ["'".join(parts)]
    return "".join(
        code(part, where) if number % 2 else signs(part.translate(_SPECIAL), where)
        for number, part in enumerate(parts)
    )


def code(text: str, where: str = "a text") -> str:
    """A name or command in type of one width, which may break after what joins its words."""
    shown = signs(text.translate(_SPECIAL), where)
    return r"\texttt{" + re.sub(r"(\\_|[./])", r"\1\\allowbreak{}", shown) + "}"
