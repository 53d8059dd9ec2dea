"""The action `environments`: install the package in fresh virtual environments, and try it there.

python -m tools.fuzz environments --pythons python3.11 python3.14 --versions oldest newest

The oldest versions of the dependencies are the lower bounds in `pyproject.toml`, in their last bug-fix release; the
newest are those that pip chooses.
Each environment takes some 8 GB while it is tried, and the time of a download of PyTorch.
"""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tools.command.option_parser import OptionParser

ROOT = Path(__file__).parents[2]

BOUND = re.compile(r"([\w.-]+)(?:\[[\w,.-]*\])?\s*>=\s*([\w.]+)(.*)")
"""A requirement with a lower bound, such as `jsonargparse[signatures]>=4.53`, and the Pythons for which it holds."""

TESTS = (
    "tests/classifier/scoring/test_weights_file.py",
    "tests/detection/cli/test_command.py",
    "tests/detection/evaluation",
    "tests/detection/formats",
    "tests/detection/structures",
    "tests/proposals/selective_search",
    "tests/tools/bulk/test_command.py",
    "tests/tools/export/test_exported_detector.py",
    "tests/tools/serve/test_service.py",
    "tests/tools/train/test_plot_training.py",
    "tests/tools/train/test_resume_training.py",
    "tests/tools/train/test_train_rcnn_heads.py",
)
"""Tests that use each of the dependencies."""

Versions = Literal["oldest", "newest"]


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="python -m tools.fuzz environments", description="Install the package, and try it.")
    parser.add_argument("--pythons", type=str, nargs="+", default=["python3"], help="interpreters to install it for")
    parser.add_argument(
        "--versions", type=Versions, nargs="+", default=["oldest", "newest"], help="versions of the dependencies"
    )
    parser.add_argument("--tests", type=str, nargs="+", default=list(TESTS), help="files and folders of tests to run")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Try the package in each environment and print a line for it; return 1 if something failed, else 0."""
    settings = build_parser().parse_args(arguments)
    status = 0
    for python in settings.pythons:
        for versions in settings.versions:
            with tempfile.TemporaryDirectory(prefix="environment-") as folder:
                failed = try_environment(Path(folder), python, versions, settings.tests)
            print(f"{python}, {versions} versions: {f'failed: {failed}' if failed else 'all is well'}", flush=True)
            status |= int(failed is not None)
    return status


def lower_bounds(pyproject: str) -> list[str]:
    """Return a constraint such as "numpy==1.26.*" for each lower bound in the text of pyproject.toml."""
    project = tomllib.loads(pyproject)["project"]
    requirements = sum(project["optional-dependencies"].values(), project["dependencies"])
    return [f"{bound[1]}=={bound[2]}.*{bound[3]}" for bound in map(BOUND.match, requirements) if bound is not None]


def left_out(folder: str, names: list[str]) -> set[str]:
    """Return the names in a folder of the tree that its copy does without, since runs and builds have left them."""
    outputs = ("build", "runs") if Path(folder) == ROOT else ()
    return shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", *outputs)(folder, names)


def try_environment(folder: Path, python: str, versions: Versions, tests: Sequence[str]) -> str | None:
    """Install the package in a new environment, and try it; return the command that failed, or None.

    Args:
        folder: an empty folder for the environment, and for a copy of the tree, so that nothing is written into it.
        python: the interpreter.
        versions: "oldest" or "newest".
        tests: files and folders of tests, from the root of the tree.
    """
    tree, constraints = folder / "tree", folder / "constraints.txt"
    shutil.copytree(ROOT, tree, ignore=left_out)
    bounds = lower_bounds((ROOT / "pyproject.toml").read_text("utf-8")) if versions == "oldest" else []
    constraints.write_text("\n".join(bounds))
    programs = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
    new_python = str(programs / "python")
    # Old libraries warn of what has changed since in others, which is no fault of this package.
    pytest = [new_python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default"]
    commands = [
        [python, "-m", "venv", str(folder / "environment")],
        [new_python, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), f"{tree}[test]"],
        [new_python, "-m", "pip", "list"],
        [str(programs / "detect"), "--sample"],
        [*pytest, *tests],
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in commands:
        place = tree if "pytest" in command else folder
        if subprocess.run(command, cwd=place, env=environment, check=False).returncode:
            return " ".join(command)
    return None
