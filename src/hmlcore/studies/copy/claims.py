"""The claim of copy and the rule that decides it, fixed before the measurement."""

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    Verdict,
    listed,
    means,
    trained_on,
)


def load_not_lag(results: ResultSet) -> Verdict:
    """Trained payloads at the longest tested delay against the longest trained one.

    Confirmed: HML keeps at least 90% of its exact accuracy. Refuted: it keeps no larger share than the
    GRU. Undecided between, or where HML copies less than half of the messages at the trained delay.
    """
    payload, delay = trained_on(results, "payload"), trained_on(results, "delay")
    rows = results.metric("exact", payload=payload)
    near = means(rows[rows["delay"] == max(d for d in rows["delay"] if d <= max(delay))])
    far = means(rows[rows["delay"] == rows["delay"].max()])
    kept = {m: far[m] / near[m] if near[m] > 0 else 0.0 for m in near}
    evidence = (
        f"share of exact accuracy kept from delay {max(d for d in rows['delay'] if d <= max(delay))} to "
        f"{rows['delay'].max()}: " + listed(kept, "{:.0%}")
    )
    if near["hml"] < 0.5:
        return UNDECIDED, evidence + f"; HML copies only {near['hml']:.0%} at the trained delay"
    if kept["hml"] >= 0.9:
        return CONFIRMED, evidence
    return (REFUTED if kept["hml"] <= kept["gru"] else UNDECIDED), evidence


CLAIMS = [
    Claim(
        "What limits copying is the load, not the lag", "copy", load_not_lag, effects=(Effect("exact", 0.1),)
    ),
]
