"""The message for a user who runs a command in an installation that lacks one of its packages."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from types import TracebackType

PACKAGE = "inception-rcnn"

REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)[^;]*(?:;.*extra == ['\"](?P<extra>[\w-]+)['\"])?")
"""A line of a package's metadata, such as `pandas>=2.2; extra == "results"`."""

DISTRIBUTIONS = {
    "cv2": "opencv-contrib-python",
    "onnx_ir": "onnx-ir",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""The names of packages in the metadata, by those of their modules where these differ."""


def report_missing_package(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one line for a missing package that the metadata of this package names, else a traceback.

    It is made for `sys.excepthook`: a command fails while its module is imported, before any of its code can answer.
    """
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    requirement = _requirement(DISTRIBUTIONS.get(name, name))
    if requirement is None:
        sys.__excepthook__(kind, error, trace)
        return
    command = sys.argv[0].rpartition("/")[2]
    line = f"{command}: expected the package {name}, which is not installed; pip install '{requirement}' adds it"
    print(line, file=sys.stderr)


def requirements() -> list[tuple[str, str | None]]:
    """Return the name of each package that this one needs, and the extra that it belongs to or None."""
    try:
        lines = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:  # the source is on the path without being installed
        return []
    return [(match["name"], match["extra"]) for match in map(REQUIREMENT.match, lines) if match]


def _requirement(name: str) -> str | None:
    """Return what pip has to install so that a package is there, such as "inception-rcnn[train]"; None for others."""
    for needed, extra in requirements():
        if needed.lower() == name.lower():
            return f"{PACKAGE}[{extra}]" if extra else PACKAGE
    return None
