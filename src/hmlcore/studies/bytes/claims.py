"""The claims of text as bytes and the rules that decide them, fixed before the measurement."""

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import Claim, Effect, Verdict, all_or_none, listed, means, trained_on


def text_within_two_percent(results: ResultSet) -> Verdict:
    """Bits per byte at the trained context, each corpus by itself.

    Confirmed: HML's mean is at most 1.02 times attention's on every corpus. Refuted: above on every one.
    """
    rows = results.metric("bits_per_byte")
    rows = rows[rows["context"] == max(trained_on(results, "length"))]
    ratios = {}
    for corpus, group in rows.groupby("corpus"):
        scores = means(group)
        ratios[corpus] = scores["hml"] / scores["attention"]
    evidence = "HML / attention: " + listed(ratios, "{:.3f}")
    return all_or_none([r <= 1.02 for r in ratios.values()]), evidence


def text_beyond_context(results: ResultSet) -> Verdict:
    """Bits per byte at the longest tested context against the trained one, each corpus by itself.

    Confirmed: HML's does not rise on any corpus. Refuted: it rises on every one.
    """
    rows = results.metric("bits_per_byte")
    short, long = max(trained_on(results, "length")), rows["context"].max()
    changes, fine = [], []
    for corpus, group in rows.groupby("corpus"):
        a, b = (means(group[group["context"] == c]) for c in (short, long))
        fine.append(b["hml"] <= a["hml"])
        changes.append(f"{corpus}: " + listed({m: b[m] - a[m] for m in a}, "{:+.3f}"))
    evidence = f"change from context {short} to {long}, bits per byte; " + "; ".join(changes)
    return all_or_none(fine), evidence


_BITS = (Effect("bits_per_byte", 0.02, relative=True),)
CLAIMS = [
    Claim("On text a bounded state costs at most 2% in bits per byte", "bytes", text_within_two_percent,
          where={"mixer": ["hml", "attention"]}, effects=_BITS),
    Claim("On text HML does not get worse beyond its training context", "bytes", text_beyond_context,
          effects=_BITS),
]  # fmt: skip
