"""Networks that classify regions of images; README.md says in which order to read this package."""

COMPILED_MODULES = ("classifier.warp.numba_loops",)
"""Modules whose loops Numba compiles. `detect` loads them early in a second process."""
