"""How the two forms of the needle are scored, said once for claims, numbers and figures."""

NEEDLE_SCORE = {"synthetic_needle": ("accuracy", "tokens"), "synthetic_needle_text": ("exact", "bytes")}
"""Experiment → its metric and the unit of its lengths: letters found; in prose the share of texts whose whole
answer is right, since digits may be guessed."""
