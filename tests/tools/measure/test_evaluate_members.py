"""The command `detect-evaluate-members` agrees with `detect-evaluate` on ensembles of the same members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.measure import evaluate_members
from tools.measure.evaluate import command as evaluate


def members_of(options: list[str]) -> list[str]:
    members: list[str] = yaml.safe_load(Path(options[3]).read_text())["classify"]["init_args"]["members"]
    return members


def evaluated(options: list[str], path: Path, members: list[str]) -> dict[str, Any]:
    """Return the report of `detect-evaluate run` on an ensemble of these members."""
    chosen = ["--detector.classify.init_args.members", json.dumps(members)]
    assert evaluate.main(["run", *options, *chosen, "--resamples", "50", "--json", str(path)]) == 0
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def measured(options: list[str], path: Path, *more: str) -> dict[str, Any]:
    assert evaluate_members.main([*options, "--resamples", "50", "--json", str(path), *more]) == 0
    report: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return report


def test_figures_are_those_of_evaluation(
    ensemble_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], regions_shown: list[int]
) -> None:
    first, second = members_of(ensemble_options)
    cascade = ["--detector.classify.init_args.cascade_thresholds", "[0.9]"]  # has no influence
    report = measured(ensemble_options, tmp_path / "a.json", *cascade)
    printed = capsys.readouterr().out
    assert sum(regions_shown) == 2 * report["regions"]  # each region once by each member
    assert report["images"] == 12
    assert [row["member"] for row in report["members"]] == [Path(first).name, Path(second).name]
    combinations = [
        ("alone", 0, [first]),
        ("alone", 1, [second]),
        ("together", 0, [first]),
        ("together", 1, [first, second]),
    ]
    for part, row, members in combinations:
        expected = evaluated(ensemble_options, tmp_path / "b.json", members)
        figure = report["members"][row][part]
        assert figure["mAP"] == pytest.approx(expected["mAP"], abs=1e-6)
        assert figure["interval"] == pytest.approx(expected["mAP_interval"], abs=1e-6)
        assert f"{figure['mAP']:.4f}" in printed


def test_members_have_the_weights_of_the_ensemble(ensemble_options: list[str], tmp_path: Path) -> None:
    weights = ["--detector.classify.init_args.member_weights", "[1, 9]"]
    report = measured(ensemble_options, tmp_path / "a.json", *weights)
    expected = evaluated([*ensemble_options, *weights], tmp_path / "b.json", members_of(ensemble_options))
    assert report["members"][1]["together"]["mAP"] == pytest.approx(expected["mAP"], abs=1e-6)
    equal = measured(ensemble_options, tmp_path / "c.json")
    assert report["members"][1]["together"] != equal["members"][1]["together"]
    assert report["members"][1]["alone"] == equal["members"][1]["alone"]


def test_gain_over_the_mean_member(ensemble_options: list[str], tmp_path: Path) -> None:
    first, second = members_of(ensemble_options)
    more = ["--detector.classify.init_args.members", json.dumps([first, second, first])]
    report = measured(ensemble_options, tmp_path / "a.json", *more)
    rows = report["members"]
    assert rows[0]["alone"] == rows[0]["together"] == rows[2]["alone"]
    alone = [row["alone"]["mAP"] for row in rows]
    assert report["mean"]["mAP"] == pytest.approx(sum(alone) / 3)
    gain = report["gain"]
    assert gain["mAP"] == pytest.approx(rows[2]["together"]["mAP"] - report["mean"]["mAP"])
    assert gain["interval"][0] <= gain["mAP"] <= gain["interval"][1]


def test_limit(ensemble_options: list[str], tmp_path: Path) -> None:
    assert measured(ensemble_options, tmp_path / "a.json", "--limit", "3")["images"] == 3


def test_a_single_network_is_refused(ensemble_options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    members = ["--detector.classify.init_args.members", json.dumps(members_of(ensemble_options)[:1])]
    assert evaluate_members.main([*ensemble_options, *members]) == 1
    expected = "detector.classify: expected a classifier.ensemble.Ensemble with two members or more"
    assert capsys.readouterr().err == f"detect-evaluate-members: {expected}\n"
