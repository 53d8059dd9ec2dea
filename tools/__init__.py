"""The commands around the detector: they train, prepare data, and measure.

Each command is a console script such as `detect-evaluate`; `[project.scripts]` in `pyproject.toml` lists them all. In a
clone, `python -m tools.evaluate` runs the same command, whichever of the groups below it lies in. Other code imports
it by its full name, such as `tools.measure.evaluate`.
"""

import sys
from pathlib import Path

import detection  # noqa: F401  It says how the threads of PyTorch wait, and so has to come before PyTorch.
from tools.command.missing_package import report_missing_package

GROUPS = ("data", "measure", "train")

if sys.excepthook is sys.__excepthook__:  # another program that imports this package may have its own
    sys.excepthook = report_missing_package

__path__ += [str(Path(__file__).with_name(group)) for group in GROUPS]
