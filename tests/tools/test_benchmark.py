"""The benchmark times what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import benchmark


def test_prints_every_stage_and_the_cold_start(
    photo: Path, detector_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main([str(photo), "--config", str(detector_config), "--repeat", "1", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    stages = [line.split()[0] for line in lines[3:]]
    assert stages == ["read", "propose", "warp", "classify", "suppress", "warm", "cold"]
    shares = [float(line.split()[4].rstrip("%")) for line in lines[3:8]]
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_bad_image_is_named(tmp_path: Path, detector_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jpg"
    assert benchmark.main([str(missing), "--config", str(detector_config)]) == 1
    assert str(missing) in capsys.readouterr().err
