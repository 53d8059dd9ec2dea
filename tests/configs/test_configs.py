"""The shipped configurations are complete, have no unknown key, and say in their header how to use them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from classifier.ensemble import Ensemble
from detection.configuration import find_config, load_detector
from proposals.merge import MergedProposer
from proposals.selective_search import SelectiveSearch
from tools.measure import calibrate_cascade
from tools.measure.coverage import command as coverage
from tools.measure.coverage.sources import build_proposer
from tools.measure.evaluate import run as evaluate_run
from tools.train import train_classifier, train_multibox

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PATHS = {path.name: path for path in sorted(CONFIGS.rglob("*.yaml"))}
MEMBER, BACKGROUNDS, OBJECTS = "tiny_imagenet_member.yaml", "photograph_backgrounds.yaml", "photograph_objects.yaml"
DETECTORS = {"detector.yaml", "thorough_detector.yaml", "tiny_imagenet_detector.yaml", "ensemble.yaml"}
OTHERS = {*DETECTORS, "coverage.yaml", "section8.yaml", "section8_photographs.yaml", BACKGROUNDS, OBJECTS}
MERGING = {MEMBER, "photographs.yaml", "own_classes.yaml"}
"""Experiments whose detector also sees the boxes of MultiBox."""

EXPERIMENTS = [name for name in PATHS if name not in OTHERS]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_training_reads_it(name: str) -> None:
    tool = train_multibox if name == "multibox.yaml" else train_classifier
    settings = tool.build_parser().parse_args(["fit", "--config", str(PATHS[name]), "--data", "anywhere"])
    assert settings.dataset.init_args.root == "anywhere"


def test_photographs_go_with_the_members() -> None:
    both = ["--config", str(PATHS[MEMBER]), "--config", str(PATHS[BACKGROUNDS])]
    settings = train_classifier.build_parser().parse_args(["fit", *both, "--data", "anywhere"])
    member = yaml.safe_load((PATHS[MEMBER]).read_text())
    assert settings.task.init_args.foreground_fraction == member["task"]["init_args"]["foreground_fraction"]
    photographs = settings.task.init_args.photographs
    assert (photographs.share, photographs.classes, photographs.foreground_fraction) == (0.125, None, 0)
    assert (settings.trainer.max_epochs, settings.trainer.precision) == (12, member["trainer"]["precision"])
    assert (settings.learning_rate, settings.batch_size) == (0.1, member["batch_size"])

    three = [*both, "--config", str(PATHS[OBJECTS])]
    later = train_classifier.build_parser().parse_args(["fit", *three, "--data", "anywhere"])
    objects = later.task.init_args.photographs
    assert objects.none_of_the_classes == photographs.none_of_the_classes
    assert objects.foreground_fraction == 0.75
    assert find_config(objects.classes) == CONFIGS / "classes" / "coco_to_tiny_imagenet.tsv"
    assert later.task.init_args.foreground_fraction == settings.task.init_args.foreground_fraction
    assert (later.trainer.max_epochs, later.trainer.max_steps) == (None, 60)


@pytest.mark.parametrize(
    "name", [name for name in EXPERIMENTS if "detector" in yaml.safe_load((PATHS[name]).read_text())]
)
def test_evaluation_reads_it(name: str) -> None:
    settings = evaluate_run.build_parser().parse_args(["--config", str(PATHS[name]), "--data", "anywhere"])
    expected = "proposals.merge.MergedProposer" if name in MERGING else "proposals.selective_search.SelectiveSearch"
    assert settings.detector.propose.class_path == expected


@pytest.mark.parametrize("name", [*EXPERIMENTS, BACKGROUNDS, OBJECTS])
def test_header_has_the_command(name: str) -> None:
    header = PATHS[name].read_text().split("\nseed:")[0]
    assert header.startswith("# ")
    assert f"--config {name}" in header


def test_the_thorough_detector_only_looks_at_more_boxes() -> None:
    names = "detector.yaml", "thorough_detector.yaml"
    default, thorough = (yaml.safe_load(PATHS[name].read_text()) for name in names)
    budgets = [settings["propose"]["init_args"].pop("budget") for settings in (default, thorough)]
    assert budgets[1] > budgets[0]
    assert default.keys() == thorough.keys()
    changed = {key for key in default if default[key] != thorough[key]}
    assert changed == {"calibrate", "coarse_share", "fine_threshold"}
    assert len(load_detector("thorough_detector.yaml").class_names) == 80


def test_ensemble_is_a_detector() -> None:
    detector = load_detector(PATHS["ensemble.yaml"], device="cpu")
    assert isinstance(detector.classify, Ensemble)
    assert len(detector.classify.networks) == 6
    assert detector.classify.cascade_thresholds == ()


def test_calibration_takes_an_ensemble_in_place_of_the_experiments_classifier() -> None:
    command = ["--config", str(PATHS["tiny_imagenet.yaml"]), "--data", "anywhere"]
    command += ["--detector.classify", "classifier.ensemble.Ensemble", "--detector.classify.members", "[a, b]"]
    detector = calibrate_cascade.build_parser().parse_args(command).detector
    assert detector.classify.init_args.members == ["a", "b"]
    assert (detector.propose.init_args.width, detector.score_threshold) == (128, 0.005)


def test_the_shipped_sources() -> None:
    """The sources of `coverage.yaml` that need no weights can be built."""
    settings = coverage.build_parser().parse_args(["--config", str(PATHS["coverage.yaml"]), "--data", "anywhere"])
    names = ["selective search", "superpixels doubled", "doubled, ranked"]
    published = ["smoothed as by R-CNN", "that, doubled"]
    networks = ["plus MultiBox", "MultiBox alone", "plus MultiBox of photographs", "MultiBox of photographs alone"]
    assert list(settings.sources) == [*names, *networks, *published]
    single, doubled, ranked = (build_proposer(settings.sources[name]) for name in names)
    for name, scales in zip(published, ((50, 100), (100, 200)), strict=True):
        search = build_proposer(settings.sources[name])
        assert isinstance(search, SelectiveSearch)
        assert (search.scales, search.sigma) == (scales, 0.8)
    assert isinstance(single, SelectiveSearch)
    assert isinstance(doubled, SelectiveSearch)
    assert isinstance(ranked, MergedProposer)
    assert (single.scales, doubled.scales) == ((50, 100), (100, 200))
    assert single.width == doubled.width == 500
    assert single.sigma == doubled.sigma == 0.5
