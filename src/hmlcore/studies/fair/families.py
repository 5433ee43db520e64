"""The families of the comparison: those of :mod:`hmlcore.studies.kit.scores` without recurrences. No torch.

A linear recurrence of two terms modulo seven is settled by four terms in a row, which every mixer's short
convolution sees, and the test has few sequences that training has not: no memory is asked for. In tuning nearly
all rows solved it, and it left the family before any test.
"""

from hmlcore.studies.kit import scores

FAMILIES = scores.FAMILIES | {"sums": ("parity", "sums modulo 5")}
"""Family → its cases, each a training of its own."""
FAMILY = {case: family for family, cases in FAMILIES.items() for case in cases}
LONG = "expressions, trained longer"
GATE_TRIAL = {
    "byte pairs": ("HML", "matched gated DeltaNet", "Mamba", "attention"),
    LONG: ("HML", "matched gated DeltaNet", "LSTM", "attention"),
}
"""Cases of no family, and who tries them, on validation at the middle rate: is the gate reached at all?"""
