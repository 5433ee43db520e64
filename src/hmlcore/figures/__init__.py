"""Figures and tables, drawn from stored results alone: neither torch nor a model is needed to redraw any.

Submodules are imported where they are used; :mod:`hmlcore.studies.kit.figure` names every figure.
"""
