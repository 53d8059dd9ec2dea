from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "configs": {"configs"},
    "detection": {"detection"},
    "proposals": {"proposals", "detection"},
    "classifier": {"classifier", "detection"},
    "tools": {"tools", "classifier", "proposals", "detection"},
}
"""Which of our packages each package may import: those below it."""

TRAINING_ONLY = {"lightning", "pytorch_lightning", "matplotlib", "torchvision", "pandas", "sklearn"}

LOADED_LATE = {"torch", "cv2", "jsonargparse", "numba"}
"""Slow to import; `detect --help` and errors in arguments do not need them."""

IMPORTS = """
import json, sys
import detection
first = sorted(sys.modules)
import detection.cli.command, detection.configuration, detection.cli.drawing
import proposals.selective_search.proposer, classifier.region_classifier, classifier.ensemble, classifier.googlenet
print(json.dumps([first, sorted(sys.modules)]))
"""


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of each import, those within functions and by `import_module("name")` included.

    Relative imports stay within a package, as none of ours lies in another.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield node.lineno, module


def upward_imports(root: Path) -> list[str]:
    found = []
    for package, allowed in MAY_IMPORT.items():
        for path in sorted((root / package).rglob("*.py")):
            for line, module in imports(ast.parse(path.read_text(encoding="utf-8"))):
                imported = module.split(".")[0]
                if imported in {*MAY_IMPORT, "tests"} - allowed:
                    found.append(f"{path.relative_to(root)}:{line} imports {module}")
    return found


def test_packages_import_only_what_is_below_them() -> None:
    assert upward_imports(ROOT) == []


def test_what_training_runs_share_is_above_the_rest_of_detection() -> None:
    for path in sorted((ROOT / "detection").rglob("*.py")):
        if not path.is_relative_to(ROOT / "detection" / "training"):
            modules = [module for _, module in imports(ast.parse(path.read_text(encoding="utf-8")))]
            assert not [module for module in modules if module.startswith("detection.training")], path


def test_all_packages_are_read() -> None:
    for package in MAY_IMPORT:
        assert (ROOT / package / "__init__.py").is_file()
    known = {module.split(".")[0] for _, module in imports(ast.parse((ROOT / "tools" / "evaluate.py").read_text()))}
    assert {"detection", "tools"} <= known


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        (
            "detection/datasets/voc.py",
            "import numpy\nimport detection.structures.boxes, classifier.warp.crop",
            ["2 imports classifier.warp.crop"],
        ),
        ("detection/a.py", "def f():\n    from proposals import merge", ["2 imports proposals"]),
        (
            "detection/a.py",
            "import importlib\nimportlib.import_module('tools.evaluate')",
            ["2 imports tools.evaluate"],
        ),
        ("detection/a.py", "from detection.structures.boxes import box_iou\nfrom . import nms\nimport toolshed", []),
        ("proposals/a.py", "from classifier.warp.crop import warp_regions", ["1 imports classifier.warp.crop"]),
        ("classifier/a.py", "import detection\nimport proposals as p", ["2 imports proposals"]),
        ("classifier/a.py", "from tools import evaluate", ["1 imports tools"]),
        ("tools/a.py", "import classifier, proposals, detection, tools", []),
        ("tools/a.py", "import tests.detection", ["1 imports tests.detection"]),
        ("configs/a.py", "import detection", ["1 imports detection"]),
    ],
)
def test_upward_import_is_found(tmp_path: Path, name: str, source: str, expected: list[str]) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert upward_imports(tmp_path) == [f"{name}:{place}" for place in expected]


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], set[str]]:
    """Modules in memory after `import detection`, and after all that detecting needs."""
    command = [sys.executable, "-c", IMPORTS]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    first, all_modules = json.loads(output)
    return set(first), set(all_modules)


def test_detecting_needs_nothing_of_training(loaded: tuple[set[str], set[str]]) -> None:
    _, modules = loaded
    assert {"proposals.selective_search.proposer", "classifier.region_classifier", "torch", "cv2"} <= modules
    assert "numba" not in modules  # before the first search
    assert modules & TRAINING_ONLY == set()


def test_package_loads_fast(loaded: tuple[set[str], set[str]]) -> None:
    modules, _ = loaded
    assert "detection.detector" in modules
    assert modules & LOADED_LATE == set()
