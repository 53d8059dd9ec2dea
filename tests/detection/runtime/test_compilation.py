"""Compiled functions work whatever state the folder is in that keeps their machine code."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import FunctionCache, IndexDataCacheFile

from detection.runtime.compilation import compiled


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
