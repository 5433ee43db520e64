"""Experiments that are not run at `laptop` yet and stand in no chapter, or in one that says so.

Once there are results a test fails until the name is gone from here.
"""

AWAITED: tuple[str, ...] = (
    "fair_tuning",
    "fair",
)
