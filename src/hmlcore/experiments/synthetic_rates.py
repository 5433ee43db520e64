"""The learning rates of the controlled tasks at `laptop`, chosen on validation with the first seed."""

# (experiment, case) → the mixers for which the smaller of the two rates had the lower cross-entropy.
SMALLER: dict[tuple[str, str], tuple[str, ...]] = {}
