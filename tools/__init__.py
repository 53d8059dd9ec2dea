"""Programs around the detector: `python -m tools.<name> --help`."""

from pathlib import Path

GROUPS = ("data", "measure", "train")

# `python -m tools.evaluate` finds a command whichever group it lies in. The code itself imports by the full name.
__path__ += [str(Path(__file__).with_name(group)) for group in GROUPS]
