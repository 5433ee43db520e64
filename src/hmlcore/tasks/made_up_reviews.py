"""Reviews put together from a few words: what stands in for IMDB on a machine that has no reviews."""

import numpy as np

VERSION = "made-up-reviews-1"
SIZES = {"train": 600, "test": 300}
_SUBJECTS = ("The plot", "The music", "Her acting", "His voice", "The ending", "Every scene", "The camera")
_VERBS = ("is", "was", "seemed", "remained", "felt")
_WORDS = (
    ("dull", "wooden", "tiresome", "clumsy", "hollow", "noisy"),
    ("lovely", "moving", "witty", "tender", "gripping", "clever"),
)
_MOST = 8  # sentences


def made_up_reviews(split: str) -> list[dict]:
    """Records with text and label, half of them liked, the same at every call.

    1 to 8 sentences, each with the word of somebody who liked the film or did not; the label is the opinion of
    more than half of them. Labels alternate, so every stretch of the list has both.
    """
    rng = np.random.default_rng(np.random.SeedSequence([20260000, sorted(SIZES).index(split)]))
    records = []
    for number in range(SIZES[split]):
        count = int(rng.integers(1, _MOST + 1))
        label = number % 2
        others = int(rng.integers(0, (count + 1) // 2))  # fewer than half
        opinions = rng.permutation([1 - label] * others + [label] * (count - others))
        text = " ".join(
            f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_WORDS[opinion])}."
            for opinion in opinions
        )
        records.append({"text": text, "label": label})
    return records
