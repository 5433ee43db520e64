"""Figures and tables, drawn from stored results alone: neither torch nor a model is needed to redraw any.

Submodules are imported where they are used; :mod:`hmlcore.figures.registry` names every figure.
"""
