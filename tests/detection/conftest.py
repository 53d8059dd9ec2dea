"""Fixtures that run the command `detect`, as a function or as a process, and images for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image
import pytest
import yaml

import detection
from detection.cli import main
from detection.structures.arrays import Image


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Detect = Callable[..., Outcome]
Settings = dict[str, Any]


@pytest.fixture(name="detect")
def detect_with_the_tiny_network(
    detector_config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Detect:
    """Return a function that runs `detect ARGUMENTS --config CONFIG`."""
    monkeypatch.setattr("detection.cli.command.PATIENCE", 3600.0)  # a busy machine adds no note to what is printed

    def run(*arguments: object, config: Path = detector_config) -> Outcome:
        status = main([*map(str, arguments), "--config", str(config)])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture(name="folder")
def folder_of_images(tmp_path: Path, photo_pixels: Image) -> Path:
    """A folder with two images and a text file."""
    folder = tmp_path / "folder"
    save_image(folder / "b.png", photo_pixels)
    save_image(folder / "a.JPG", photo_pixels)
    (folder / "notes.txt").write_text("no image")
    return folder


def save_image(path: Path, pixels: Image) -> Path:
    path.parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


def write_config(folder: Path, settings: Settings) -> Path:
    path = folder / "other.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_json(path: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return records


def assert_one_line_each(err: str, *starts: object) -> None:
    """Check that `err` has one line for each start, which begins with `detect: `, the start and `: expected `."""
    lines = err.splitlines()
    assert len(lines) == len(starts), err
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(f"detect: {start}: expected "), line


def images_done(out: str) -> list[str]:
    return [Path(heading).name for heading in re.findall(r"^(\S.*?): \d+ objects? \(", out, re.MULTILINE)]


def run_python(code: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
    root = Path(detection.__file__).parents[1]
    command = [sys.executable, "-W", "error", "-c", code]
    variables = os.environ | environment
    return subprocess.Popen(command, cwd=root, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True)
