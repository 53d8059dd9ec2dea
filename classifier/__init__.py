"""Networks that classify regions of images; README.md says in which order to read this package."""

COMPILED_MODULES = ("classifier.warp.numba_loops",)
"""Modules whose loops Numba compiles. `detect` loads them early in a second process."""

CLASS_NAMES_MODULE = "classifier.scoring.class_names"
"""The module whose `read_class_names` reads the classes of a classifier without building it."""
