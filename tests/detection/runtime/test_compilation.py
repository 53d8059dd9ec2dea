"""Compiled functions work whatever state the folder is in that keeps their machine code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import FunctionCache, IndexDataCacheFile

from detection.runtime.child_process import child_environment
from detection.runtime.compilation import compiled, compiled_part


def add_up(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
    return total


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the machine code: by default Numba writes beside the source."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def stored(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_machine_code_is_stored_and_used(cache: Path) -> None:
    assert compiled(add_up)(5) == 10
    assert [path.suffix for path in stored(cache)] == [".nbc", ".nbi"]
    again: Any = compiled(add_up)
    assert again(5) == 10
    assert sum(again.stats.cache_hits.values()) == 1


def test_parts_are_stored_with_their_callers_only(cache: Path) -> None:
    part = compiled_part(add_up)

    def add_twice(count: int) -> int:
        return part(count) + part(count)

    assert compiled(add_twice)(5) == 20
    assert {path.name.split("-")[0].split(".")[-1] for path in stored(cache)} == {"add_twice"}


def test_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", refuse)
    assert [compiled(add_up)(5), compiled(add_up)(6)] == [10, 15]  # the index is there, but what it names is not
    monkeypatch.setattr(IndexDataCacheFile, "_save_index", refuse)
    for path in stored(cache):
        path.unlink()
    assert compiled(add_up)(5) == 10
    assert stored(cache) == []


def test_no_folder_that_can_be_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionCache._impl_class, "_locator_classes", [])
    assert compiled(add_up)(5) == 10
    assert stored(cache) == []


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"no pickle"])
def test_damaged_cache_is_replaced(cache: Path, suffix: str, content: bytes) -> None:
    assert compiled(add_up)(5) == 10
    for path in stored(cache):
        if path.suffix == suffix:
            path.write_bytes(content)
    assert compiled(add_up)(5) == 10
    again: Any = compiled(add_up)
    assert again(5) == 10
    assert sum(again.stats.cache_hits.values()) == 1


def test_first_runs_at_the_same_time(tmp_path: Path) -> None:
    """Several processes find no machine code, compile, and store it in the same files."""
    (tmp_path / "own_loops.py").write_text(
        "from detection.runtime.compilation import compiled\n\n\n"
        "@compiled\ndef add_up(count):\n    total = 0\n    for number in range(count):\n        total += number\n"
        "    return total\n"
    )
    environment = child_environment() | {"NUMBA_CACHE_DIR": str(tmp_path / "shared")}
    environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    command = [sys.executable, "-W", "error", "-c", "import own_loops; print(own_loops.add_up(5))"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)
    ]
    assert [process.communicate(timeout=300) for process in processes] == [(b"10\n", b"")] * 3
    assert [path.suffix for path in stored(tmp_path / "shared")] == [".nbc", ".nbi"]
