"""The layout of the repository as tests: small folders, short files, and names that say what is inside."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAX_ENTRIES = 14
MAX_MEDIAN_ENTRIES = 10
MAX_LINES = 300

NOT_COUNTED = {"__init__.py", "py.typed"}
"""Files that a package has to have, which nobody looks for."""

EMPTY_NAMES = {"utils", "helpers", "misc", "common", "core"}
"""Names that say nothing of what is inside."""


def ignored_patterns(root: Path) -> list[str]:
    """Names of files and folders that the repository does not hold."""
    path = root / ".gitignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [".*", *(line.strip("/") for line in lines if line.strip())]


def folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield every folder of the working tree with its entries; hidden and ignored ones are left out."""
    patterns = ignored_patterns(root)

    def walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
        entries = [
            path for path in sorted(folder.iterdir()) if not any(fnmatch(path.name, pattern) for pattern in patterns)
        ]
        if entries:
            yield folder, entries
        for path in entries:
            if path.is_dir():
                yield from walk(path)

    return walk(root)


def entry_counts(root: Path) -> dict[str, int]:
    """The number of entries of each folder, by its path below `root`."""
    return {
        str(folder.relative_to(root)): sum(path.name not in NOT_COUNTED for path in entries)
        for folder, entries in folders(root)
    }


def python_files(root: Path) -> list[Path]:
    return [path for _, entries in folders(root) for path in entries if path.suffix == ".py"]


def names_without_meaning(root: Path) -> list[str]:
    """Python files and folders with one of `EMPTY_NAMES`."""
    paths = [path for _, entries in folders(root) for path in entries if path.is_dir() or path.suffix == ".py"]
    return [str(path.relative_to(root)) for path in paths if path.stem.strip("_") in EMPTY_NAMES]


def long_files(root: Path) -> list[str]:
    """Python files of more than `MAX_LINES` lines, as "file: lines"."""
    lengths = ((path, len(path.read_text(encoding="utf-8").splitlines())) for path in python_files(root))
    return [f"{path.relative_to(root)}: {length}" for path, length in lengths if length > MAX_LINES]


def test_no_folder_is_crowded() -> None:
    counts = entry_counts(ROOT)
    assert {folder: count for folder, count in counts.items() if count > MAX_ENTRIES} == {}
    assert median(counts.values()) <= MAX_MEDIAN_ENTRIES


def test_names_say_what_is_inside() -> None:
    assert names_without_meaning(ROOT) == []


def test_python_files_are_short() -> None:
    assert len(python_files(ROOT)) > 100  # they are found
    assert long_files(ROOT) == []


@pytest.mark.parametrize("folder", ["detection", "proposals", "classifier", "tools"])
def test_package_says_what_is_in_it(folder: str) -> None:
    lines = (ROOT / folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert 10 <= len(lines) <= 50


def test_tests_mirror_the_code() -> None:
    tested = (
        folder.relative_to(ROOT / "tests") for folder, _ in folders(ROOT) if folder.is_relative_to(ROOT / "tests")
    )
    assert [
        str(path) for path in tested if not ((ROOT / path).is_dir() or (ROOT / path).with_suffix(".py").is_file())
    ] == []


def write(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def test_entries_are_counted(tmp_path: Path) -> None:
    write(tmp_path, ".gitignore", text="__pycache__/\n/runs/\n*.egg-info/\n")
    write(tmp_path, "a/__init__.py", "a/py.typed", "a/one.py", "a/b/two.py", "a/b/three.md", "a/__pycache__/one.pyc")
    write(tmp_path, "runs/1", "x.egg-info/2", ".git/3")
    assert entry_counts(tmp_path) == {".": 1, "a": 2, "a/b": 2}


def test_name_without_meaning_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a/utils.py", "a/core/__init__.py", "a/_helpers.py", "a/common_words.py", "a/core.md")
    assert names_without_meaning(tmp_path) == ["a/_helpers.py", "a/core", "a/utils.py"]


def test_long_file_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a/long.py", text="pass\n" * 301)
    write(tmp_path, "a/short.py", text="pass\n" * 300)
    assert long_files(tmp_path) == ["a/long.py: 301"]
