"""The commands around the detector: they train, prepare data, and measure.

Each command is a console script such as `detect-evaluate`; `[project.scripts]` in `pyproject.toml` lists them all with
their modules. In a clone, `python -m tools.measure.evaluate` runs the same command.
"""

import sys

import detection  # noqa: F401  It says how the threads of PyTorch wait, and so has to come before PyTorch.
from tools.command.missing_package import report_missing_package

if sys.excepthook is sys.__excepthook__:  # another program that imports this package may have its own
    sys.excepthook = report_missing_package
