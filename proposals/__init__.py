"""Proposers, which find boxes that may hold an object: selective search, MultiBox, and both merged. See README.md."""

COMPILED_MODULES = ("proposals.selective_search.search",)
"""The modules whose loops Numba compiles. `detect` loads them early in a second process."""
