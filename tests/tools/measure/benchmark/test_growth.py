"""The benchmark of growth measures and prints what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detection.configuration import load_detector
from detection.structures.contracts import RegionScores
from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark import growth as benchmark_growth
from tools.measure.benchmark.proposals import mosaic


def test_growth(
    detector_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are replaced by the number of results plus one, which shows what work is timed."""

    def count(function: Callable[[], Any], repeat: int, _: torch.device, *, warm_up: int) -> list[float]:  # noqa: ARG001
        result = function()
        if isinstance(result, list):
            (result,) = result
        return [1.0 + len(result.probabilities if isinstance(result, RegionScores) else result)] * repeat

    monkeypatch.setattr(benchmark_growth, "time_runs", count)
    monkeypatch.setattr(benchmark_growth, "REGIONS", 8)
    file = tmp_path / "growth.json"
    options = ["--config", str(detector_config), "--device", "cpu", "--repeat", "2", "--json", str(file)]
    options += ["--sides", "60", "120", "--regions", "4", "80", "--members", "1", "--classes", "2", "3"]
    assert benchmark.main(["growth", *options]) == 0
    growth = json.loads(file.read_text())["growth"]
    assert {factor: [(row["value"], row["label"]) for row in rows] for factor, rows in growth.items()} == {
        "pixels": [(3600, "60x60"), (14400, "120x120")],
        "regions": [(4, "4"), (80, "80")],
        "members": [(1, "1")],
        "classes": [(2, "2"), (3, "3")],
    }
    assert [row["seconds"] for row in growth["regions"]] == [{"score": [5, 5]}, {"score": [81, 81]}]
    assert [row["seconds"] for row in growth["members"]] == [{"score": [9, 9]}]
    assert [row["seconds"]["score"] for row in growth["classes"]] == [[9, 9], [9, 9]]
    propose = load_detector(detector_config).propose
    for row, side in zip(growth["pixels"], (60, 120), strict=True):
        assert list(row["seconds"]) == ["propose", "score"]
        assert row["seconds"]["propose"] == [1 + len(propose(mosaic(side)))] * 2
    assert list(growth["classes"][0]["seconds"]) == ["score", "suppress"]
    assert "80       81.000s  16.2x" in capsys.readouterr().out


def test_options_that_do_not_fit_the_detector(detector_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["growth", "--config", str(detector_config), "--device", "cpu"]
    assert benchmark.main([*options, "--members", "1", "2"]) == 1
    assert "--members: expected at most the detector's 1 networks, got [1, 2]" in capsys.readouterr().err
    assert benchmark.main([*options, "--sides", "--regions", "--members", "--classes"]) == 1
    assert "expected values of --sides, --regions, --members or --classes, got none" in capsys.readouterr().err
