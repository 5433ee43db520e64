"""What needles in text are made of: sentences, and keys such as ``gentle-harbor``.

The needle and the noise are RULER's (Hsieh et al. 2024, arXiv 2404.06654); the questions are put so that the
answer is their last word. The words are everyday ones, and no key is part of another.
"""

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
NEEDLE = "One of the special magic {sort}s for {key} is: {value}. "
QUESTION = "What is the special magic {sort} for {key} mentioned in the text? It is "
QUESTION_OF_ALL = (
    "What are all the special magic {sort}s for {key} mentioned in the text, from first to last? They are "
)

_ADJECTIVES = (
    "amber ancient bitter brave bright broken calm clever copper crimson curious distant eager early empty "
    "faint fierce frozen gentle golden hidden hollow honest humble idle ivory jolly lively lonely mellow "
    "narrow nimble patient proud quiet rapid rusty silent sturdy wooden"
)
_NOUNS = (
    "anchor badger basket beacon bridge candle castle cellar cherry compass cradle dragon feather ferry "
    "forest fountain garden hammer harbor island jacket kettle ladder lantern meadow mirror mountain needle "
    "orchard otter pepper pillow pocket river saddle sparrow temple turtle violin window"
)


def word_keys() -> tuple[str, ...]:
    """All keys, adjective and noun."""
    return tuple(f"{adjective}-{noun}" for adjective in _ADJECTIVES.split() for noun in _NOUNS.split())
