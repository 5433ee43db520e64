"""What explorers there are: the question of each, its models, and the state that it opens with. No torch."""

from dataclasses import dataclass

from hmlcore.errors import unknown


@dataclass(frozen=True)
class Kind:
    """One explorer.

    Attributes:
        question: what it answers.
        models: names of the package's models that it opens, the first one first.
        text: what the memory reads at first. at: the token that is looked at, from 1; None, the last.
        caption: of its still picture.
    """

    question: str
    models: tuple[str, ...]
    text: str
    caption: str
    at: int | None = None


KINDS = {
    "phase": Kind(
        "How does a memory move when it reads?",
        ("hml", "hml-text", "hml-leapfrog", "hml-sums"),
        "aKbTaMbRaX cD a b c",
        "The phase plane of each head at the key of one token: the path of what is stored there, the force of "
        "the token that is being read, and below them what the token's work adds and the step dissipates.",
        at=6,
    ),
    "memory": Kind(
        "Which tokens does a memory still hold?",
        ("hml", "hml-text", "gated-deltanet", "attention"),
        "aKbTaMbRaX cD a b c",
        "How strongly each past token (column) is read by each later one (row). Circles: written; crosses: "
        "overwritten; what fades down a column is forgotten.",
    ),
    "gradient": Kind(
        "How far back does a gradient reach?",
        ("hml", "hml-start", "gated-deltanet", "gated-deltanet-start"),
        "aKbTcMdReXfDgHhJ a c e g",
        "Left: the norm of a gradient that runs back through the memory, against the tokens it has passed, a "
        "line a head. Right: the eigenvalues of each step in the complex plane, with the unit circle.",
    ),
    "race": Kind(
        "Which memory answers from the same text?",
        ("hml", "gated-deltanet", "gru"),
        "aKbTcMdReXfDgHhJ a c e g",
        "One text through three memories: what each answers where a key is asked for, and the norm of its "
        "state.",
    ),
    "binding": Kind(
        "How many pairs can one sum hold?",
        (),
        "",
        "Pairs of keys and values bound and added into one vector: the angles of what a key finds in it "
        "against the value it was bound to, the known values by their likeness, and how many answers are right "
        "beside the law of capacity.",
    ),
    "slots": Kind(
        "What does a sparse memory keep, and why?",
        (),
        "the cat sat on the mat, the dog sat on the cat and the mat",
        "Left: the slots, a row a bucket; a slot says what followed its cue. Right: the scores of the tokens "
        "of one chunk, of which those above the threshold are written. Crosses: what was driven out.",
        at=24,
    ),
    "store": Kind(
        "Which runs are behind the results?",
        (),
        "",
        "The runs of the results store, by experiment, mixer and task, with their learning curves and what "
        "made each of them.",
    ),
}


def kind(name: str) -> Kind:
    """The explorer called `name`.  Raises: HmlcoreError for an unknown one, listing those there are."""
    if name not in KINDS:
        raise unknown("explorer", name, KINDS)
    return KINDS[name]
