"""Candidate boxes: selective search, MultiBox, and what is done with their boxes."""

COMPILED_MODULES = ("proposals.selective_search.search",)
"""Modules whose loops Numba compiles. `detect` loads them early in a second process."""
