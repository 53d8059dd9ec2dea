"""The command `detect-env`."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest

from tools.command.missing_package import requirements
from tools.measure import environment


def test_shows_what_is_installed_and_how_fast_it_is(
    detector_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "env.json"
    assert environment.main(["--config", str(detector_config), "--repeat", "2", "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert report["versions"]["torch"] == importlib.metadata.version("torch")
    assert len(report["speed"]["first run"]) == 1
    assert len(report["speed"]["later runs"]) == 2
    printed, told = capsys.readouterr()
    assert f"torch                          {report['versions']['torch']}" in printed
    assert "later runs, median of 2 " in printed
    assert [line.partition(",")[0] for line in told.splitlines()[1:]] == ["detect-env: detecting"] * 3
    assert "run 3 of 3" in told


def test_missing_packages_are_named_with_their_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["numpy>=1.26", "nowhere-to-be-found>=2; extra == 'results'", 'inception-rcnn[results]; extra == "test"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: lines)
    assert requirements() == [
        ("numpy", None), ("nowhere-to-be-found", "results"), ("inception-rcnn", "test"),
    ]  # fmt: skip
    assert environment.main(["--repeat", "0"]) == 0
    assert "not installed: nowhere-to-be-found (pip install 'inception-rcnn[results]')" in capsys.readouterr().out


def test_the_drawn_picture_is_always_the_same() -> None:
    picture = environment.draw_picture()
    assert picture.shape == (480, 640, 3)
    np.testing.assert_array_equal(picture, environment.draw_picture())
    assert picture.std() > 20
