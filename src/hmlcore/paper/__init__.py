"""The paper: LaTeX that is written by hand, and every figure, table, number and verdict out of the store.

``paper/main.tex`` names what it shows (`asked`); that is made from the results of one profile (`generated`),
compiled (`engine`) and held to the rules of a paper (`review`). `build` does all of it, below
``_build/<profile>/paper``, and packs what a preprint server takes.
"""

from hmlcore.paper.build import build_paper, pack_bundle

__all__ = ["build_paper", "pack_bundle"]
