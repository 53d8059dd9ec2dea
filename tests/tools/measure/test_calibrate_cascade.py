"""The trials of `detect-calibrate-cascade` agree with `detect-evaluate` on detectors with these thresholds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.measure import calibrate_cascade
from tools.measure.evaluate import command as evaluate


def calibrated(options: Sequence[str], path: Path, *more: str) -> dict[str, Any]:
    assert calibrate_cascade.main([*options, "--json", str(path), *more]) == 0
    report: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return report


def evaluated(options: Sequence[str], path: Path, thresholds: list[float]) -> float:
    """Return the mean average precision that `detect-evaluate run` measures with these thresholds."""
    setting = ["--detector.classify.init_args.cascade_thresholds", json.dumps(thresholds)]
    assert evaluate.main(["run", *options, *setting, "--resamples", "0", "--json", str(path)]) == 0
    precision: float = json.loads(path.read_text())["mAP"]
    return precision


def test_trials_are_what_evaluation_finds_with_these_thresholds(
    ensemble_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], regions_shown: list[int]
) -> None:
    report = calibrated(ensemble_options, tmp_path / "a.json", "--max_loss", "0")
    assert sum(regions_shown) == 2 * report["regions"]  # each region once by each member
    assert report["images"] == 12
    trials = report["trials"]
    assert [trial["threshold"] for trial in trials] == sorted(calibrate_cascade.THRESHOLDS)
    shares = [trial["share"] for trial in trials]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[-1] < 0.1
    partial = next(row for row, share in enumerate(shares) if share < 0.9)
    for row in (0, partial):
        precision = evaluated(ensemble_options, tmp_path / f"{row}.json", [trials[row]["threshold"]])
        assert precision == pytest.approx(trials[row]["mAP"], abs=1e-6)
    chosen = report["chosen"]
    assert chosen in trials
    assert chosen["mAP"] >= trials[0]["mAP"]
    assert f"cascade_thresholds: [{chosen['threshold']}] " in capsys.readouterr().out


def test_the_next_threshold_is_tried_on_what_the_first_lets_pass(
    ensemble_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = yaml.safe_load(Path(ensemble_options[3]).read_text())["classify"]["init_args"]["members"]
    ensemble_options += ["--detector.classify.init_args.members", json.dumps([members[1], *members])]
    first = calibrated(ensemble_options, tmp_path / "a.json")["trials"]
    earlier = next(trial for trial in first if trial["share"] < 0.9)
    ensemble_options += ["--detector.classify.init_args.cascade_thresholds"]
    report = calibrated([*ensemble_options, json.dumps([earlier["threshold"]])], tmp_path / "b.json")
    trials = report["trials"]
    assert trials[0] == earlier | {"threshold": 0.0}  # which all remaining regions pass
    later = next(trial for trial in trials if trial["share"] < earlier["share"] / 2)
    thresholds = [earlier["threshold"], later["threshold"]]
    assert evaluated(ensemble_options[:-1], tmp_path / "c.json", thresholds) == pytest.approx(later["mAP"], abs=1e-6)
    assert f"cascade_thresholds: [{thresholds[0]}, {report['chosen']['threshold']}] " in capsys.readouterr().out


def test_any_loss_allows_the_highest_threshold(ensemble_options: list[str], tmp_path: Path) -> None:
    report = calibrated(ensemble_options, tmp_path / "a.json", "--max_loss", "1", "--limit", "3")
    assert report["images"] == 3
    assert report["chosen"] == report["trials"][-1]


def test_a_single_network_is_refused(ensemble_options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    members = yaml.safe_load(Path(ensemble_options[3]).read_text())["classify"]["init_args"]["members"][:1]
    assert (
        calibrate_cascade.main([*ensemble_options, "--detector.classify.init_args.members", json.dumps(members)]) == 1
    )
    expected = (
        "detector.classify: expected a classifier.ensemble.Ensemble with two members or more that have no threshold"
    )
    assert capsys.readouterr().err == f"detect-calibrate-cascade: {expected}\n"
