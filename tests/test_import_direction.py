"""The architecture as tests: imports point down, there are no circles, and detecting needs nothing of training."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.imported_modules import (
    SourceFile,
    find_circles,
    find_dotted_strings,
    find_imports,
    import_graph,
    source_files,
)

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "configs": {"configs"},
    "detection": {"detection"},
    "proposals": {"proposals", "detection"},
    "classifier": {"classifier", "detection"},
    "tools": {"tools", "classifier", "proposals", "detection"},
}
"""Which of our packages each package may import: itself and those below it."""

TRAINING_PACKAGES = ("detection.training", "classifier.training", "proposals.multibox.training", "tools.train")
"""The folders that only training needs. They may import each other; otherwise only tools may import them."""

TRAINING_LIBRARIES = {"lightning", "pytorch_lightning", "matplotlib", "torchvision", "pandas", "sklearn"}
"""Libraries that detecting must do without."""

LOADED_LATE = {"torch", "cv2", "jsonargparse", "numba"}
"""Libraries that are slow to import; `detect --help` and errors in arguments do not need them."""

LIST_LOADED_MODULES = """
import json, sys
import detection
first = sorted(sys.modules)
import detection.cli.command, detection.configuration, detection.structures.results.drawing
import proposals.selective_search, classifier.region_classifier, classifier.ensemble, classifier.googlenet
print(json.dumps([first, sorted(sys.modules)]))
"""


def is_within(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def packages_above(file: SourceFile) -> set[str]:
    """Our packages that a file may not refer to."""
    return MAY_IMPORT.keys() - MAY_IMPORT[file.module.split(".")[0]]


def upward_imports(root: Path) -> list[str]:
    """Imports of a package above the file or beside it, or of the tests."""
    return [
        f"{file.path.relative_to(root)}:{statement.line} imports {statement.module}"
        for file in source_files(root, MAY_IMPORT)
        for statement in find_imports(file)
        if is_within(statement.module, packages_above(file) | {"tests"})
    ]


def upward_strings(root: Path) -> list[str]:
    """Strings that are the dotted path of a module in a package above the file or beside it."""
    return [
        f"{file.path.relative_to(root)}:{string.line} names {string.module}"
        for file in source_files(root, MAY_IMPORT)
        for string in find_dotted_strings(file)
        if is_within(string.module, packages_above(file))
    ]


def training_imports(root: Path) -> list[str]:
    """Imports of a training package by code that is neither training nor a tool."""
    return [
        f"{file.path.relative_to(root)}:{statement.line} imports {training[0]}"
        for file in source_files(root, MAY_IMPORT)
        if not is_within(file.module, [*TRAINING_PACKAGES, "tools"])
        for statement in find_imports(file)
        if (training := [target for target in statement.targets if is_within(target, TRAINING_PACKAGES)])
    ]


def circles(root: Path) -> list[str]:
    """Circles of modules that refer to each other."""
    return find_circles(import_graph(root, MAY_IMPORT))


@pytest.mark.parametrize("violations", [upward_imports, upward_strings, training_imports, circles])
def test_our_code_keeps_the_rule(violations: Callable[[Path], list[str]]) -> None:
    assert violations(ROOT) == []


def test_all_packages_are_read() -> None:
    graph = import_graph(ROOT, MAY_IMPORT)
    assert all((ROOT / package / "__init__.py").is_file() for package in MAY_IMPORT)
    assert all(package in graph for package in TRAINING_PACKAGES)
    assert "detection.detector" in graph["detection.configuration"]
    assert any(name.startswith("detection.") for name in graph["tools.measure.evaluate.run"])


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
    write(tmp_path, {name: source})
    assert upward_imports(tmp_path) == [f"{name}:{place}" for place in expected]


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        (
            "detection/a.py",
            'MODULES = ("proposals.search",\n    "classifier.warp")',
            ["1 names proposals.search", "2 names classifier.warp"],
        ),
        ("detection/a.py", 'name = f"classifier.{kind}"', ["1 names classifier"]),
        (
            "proposals/a.py",
            'run("classifier.inception.InceptionTrunk")',
            ["1 names classifier.inception.InceptionTrunk"],
        ),
        ("classifier/a.py", 'run("tools.evaluate")', ["1 names tools.evaluate"]),
        (
            "proposals/a.py",
            'run("proposals.search")\nopen("tools.txt".upper())\n"See tools.evaluate."',
            ["2 names tools.txt"],
        ),
        ("classifier/a.py", '"""Called by `tools.evaluate`."""\nkind = "classifier"\nfile = "proposals/weights"', []),
        ("tools/a.py", 'run("classifier.warp", "proposals.search")', []),
    ],
)
def test_upward_string_is_found(tmp_path: Path, name: str, source: str, expected: list[str]) -> None:
    write(tmp_path, {name: source})
    assert upward_strings(tmp_path) == [f"{name}:{place}" for place in expected]


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        (
            "classifier/a.py",
            "def f():\n    import classifier.training.loss",
            ["2 imports classifier.training.loss"],
        ),
        ("classifier/a.py", "from classifier import training", ["1 imports classifier.training"]),
        ("proposals/multibox/a.py", "from .training import loss", ["1 imports proposals.multibox.training"]),
        ("detection/evaluation/a.py", "from detection.training import x", ["1 imports detection.training"]),
        ("detection/training/a.py", "from detection.training import x", []),
        ("classifier/training/a.py", "from detection.training import x\nfrom . import y", []),
        ("tools/measure/a.py", "from tools.train.runs import x\nimport detection.training", []),
        ("detection/a.py", "import detection.training_notes", []),
    ],
)
def test_import_of_training_is_found(tmp_path: Path, name: str, source: str, expected: list[str]) -> None:
    write(tmp_path, {name: source})
    assert training_imports(tmp_path) == [f"{name}:{place}" for place in expected]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (
            {"a": "import detection.b", "b": "from detection import c", "c": "from detection.a import x"},
            ["detection.a -> detection.b -> detection.c -> detection.a"],
        ),
        # An import within a function is a circle too, and so is a module that is named by a string.
        (
            {"a": "from detection.b import x", "b": "def f():\n    from detection.a import y"},
            ["detection.a -> detection.b -> detection.a"],
        ),
        ({"a": "import detection.b", "b": 'run("detection.a", "f")'}, ["detection.a -> detection.b -> detection.a"]),
        # A package that exports what its modules define is no circle, unless a module imports it from the package.
        ({"__init__": "from detection.a import x", "a": "from detection.b import y", "b": ""}, []),
        ({"__init__": "from detection.a import x", "a": "from . import b", "b": ""}, []),
        (
            {"__init__": "from detection.a import x", "a": "import detection.b", "b": "from detection import x"},
            [
                "detection -> detection.a -> detection.b -> detection",
            ],
        ),
        ({"a": "import detection.b, detection.c", "b": "import detection.c", "c": "import numpy"}, []),
    ],
)
def test_circle_is_found(tmp_path: Path, sources: dict[str, str], expected: list[str]) -> None:
    write(tmp_path, {"detection/__init__.py": ""} | {f"detection/{name}.py": text for name, text in sources.items()})
    assert circles(tmp_path) == expected


def write(root: Path, sources: dict[str, str]) -> None:
    for name, source in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")


@pytest.fixture(scope="module")
def loaded() -> tuple[set[str], set[str]]:
    """Modules in memory after `import detection`, and after all that detecting needs."""
    command = [sys.executable, "-c", LIST_LOADED_MODULES]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    first, all_modules = json.loads(output)
    return set(first), set(all_modules)


def test_detecting_needs_nothing_of_training(loaded: tuple[set[str], set[str]]) -> None:
    _, modules = loaded
    assert {"proposals.selective_search.proposer", "classifier.region_classifier", "torch", "cv2"} <= modules
    assert "numba" not in modules  # it is imported by the first search
    assert modules & TRAINING_LIBRARIES == set()
    assert [module for module in sorted(modules) if is_within(module, TRAINING_PACKAGES)] == []


def test_package_loads_fast(loaded: tuple[set[str], set[str]]) -> None:
    modules, _ = loaded
    assert "detection.detector" in modules
    assert modules & LOADED_LATE == set()
