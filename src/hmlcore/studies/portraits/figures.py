"""What memories hold while they read: the pictures come here from other studies with this one's first runs."""

from hmlcore.studies.kit.figure import Figure

FIGURES: dict[str, Figure] = {}
