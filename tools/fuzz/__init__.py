"""Programs that try to break the package: damaged inputs, killed processes, and long runs.

These are tools for the developers of this package, so they have no console script: `python -m tools.fuzz` runs them
in a clone.
"""
