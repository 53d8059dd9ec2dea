"""Every experiment file is complete and has no unknown key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from classifier.ensemble import Ensemble
from detection.configuration import load_detector
from tools import calibrate_cascade, evaluate_run, train_classifier, train_multibox

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
OTHERS = {"detector.yaml", "ensemble.yaml", "coverage.yaml", "section8.yaml"}
EXPERIMENTS = sorted(path.name for path in CONFIGS.glob("*.yaml") if path.name not in OTHERS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_training_reads_it(name: str) -> None:
    tool = train_multibox if name == "multibox.yaml" else train_classifier
    settings = tool.build_parser().parse_args(["fit", "--config", str(CONFIGS / name), "--data", "anywhere"])
    assert settings.dataset.init_args.root == "anywhere"


@pytest.mark.parametrize(
    "name", [name for name in EXPERIMENTS if "detector" in yaml.safe_load((CONFIGS / name).read_text())]
)
def test_evaluation_reads_it(name: str) -> None:
    settings = evaluate_run.build_parser().parse_args(["--config", str(CONFIGS / name), "--data", "anywhere"])
    merges = name == "tiny_imagenet_member.yaml"  # members see what the shipped detector proposes
    expected = "proposals.merge.MergedProposer" if merges else "proposals.selective_search.SelectiveSearch"
    assert settings.detector.propose.class_path == expected


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_says_what_it_is_for(name: str) -> None:
    text = (CONFIGS / name).read_text()
    assert text.startswith("# ")
    assert f"configs/{name}" in text.split("seed:")[0]


def test_ensemble_is_a_detector() -> None:
    detector = load_detector(CONFIGS / "ensemble.yaml", device="cpu")
    assert isinstance(detector.classify, Ensemble)
    assert len(detector.classify.networks) == 6
    assert detector.classify.cascade_thresholds == ()


def test_calibration_takes_an_ensemble_in_place_of_the_experiments_classifier() -> None:
    command = ["--config", str(CONFIGS / "tiny_imagenet.yaml"), "--data", "anywhere"]
    command += ["--detector.classify", "classifier.ensemble.Ensemble", "--detector.classify.members", "[a, b]"]
    detector = calibrate_cascade.build_parser().parse_args(command).detector
    assert detector.classify.init_args.members == ["a", "b"]
    assert (detector.propose.init_args.width, detector.score_threshold) == (128, 0.005)
