"""Folders that are built once for all processes of pytest-xdist, since each of them has session fixtures of its own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def build_once(tmp_path_factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder `name` of this run of pytest, which the first process to ask for it has filled by `build`.

    The other processes wait for it. Tests must not change what is in it. If `build` fails, the next one begins anew
    with a folder of another name.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the run, which has a folder for each process
    built = base / f"{name}.built"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            folder = base / f"{name}-by-{os.getpid()}"
            folder.mkdir()
            build(folder)
            built.write_text(str(folder), encoding="utf-8")
    return Path(built.read_text(encoding="utf-8"))
