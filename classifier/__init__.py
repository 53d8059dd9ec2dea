"""Region classifiers: warping, networks, training data and the scoring of regions."""

COMPILED_MODULES = ("classifier.warp.numba_loops",)
"""Modules whose loops Numba compiles. `detect` loads them early in a second process."""
