"""Detectors are built as a YAML file says, and errors name the key that cannot be used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
import yaml

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from detection.configuration import (
    DEFAULT_CONFIG,
    build_detector,
    find_compiled_modules,
    find_config,
    load_detector,
    read_yaml,
)
from detection.detector import MAX_DETECTIONS
from detection.errors import InputError
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import Classifier, RegionScores
from proposals.merge import MergedProposer
from proposals.multibox import MultiBoxProposer
from proposals.selective_search import SelectiveSearch
from proposals.whole_image import WholeImage

Settings = dict[str, Any]


def test_default_is_the_detector_of_everyday_objects(photo_pixels: Image) -> None:
    detector = load_detector(device="cpu")
    assert isinstance(detector.propose, MergedProposer)
    assert isinstance(detector.classify, Ensemble)
    assert [network.input_format.size for network in detector.classify.networks] == [112, 224]
    assert len(detector.class_names) == 80
    detections = detector(photo_pixels)
    assert detections.class_names == detector.class_names
    assert len(detector.propose(photo_pixels)) <= 360


@pytest.mark.parametrize(("photo_name", "expected"), [("chelsea", "cat"), ("astronaut", "person"), ("coffee", "cup")])
def test_the_best_detection_of_a_photo_is_right(photo_name: str, expected: str) -> None:
    detections = load_detector(device="cpu")(getattr(skimage.data, photo_name)())
    assert detections.names[0] == expected


def test_the_detector_of_tiny_imagenet_is_a_cascade_of_seven_networks() -> None:
    detector = load_detector("tiny_imagenet_detector.yaml", device="cpu")
    assert isinstance(detector.classify, Ensemble)
    assert len(detector.classify.networks) == 1 + 6  # the leader of the cascade, and the paper's six
    assert len(detector.class_names) == 200


def test_default_file_with_other_weights(tiny_weights: Path) -> None:
    settings = read_yaml(DEFAULT_CONFIG)
    settings["classify"]["init_args"] = {"members": [str(tiny_weights)]}
    detector = build_detector(settings, source="test", device="cpu")
    assert isinstance(detector.propose, MergedProposer)
    multibox, search = detector.propose.proposers
    assert isinstance(multibox, MultiBoxProposer)
    assert isinstance(search, SelectiveSearch)
    # GoogLeNet's 200 boxes, and its doubled superpixels at R-CNN's width
    assert multibox.max_boxes == 200
    assert (search.scales, search.width, search.min_side) == ((100, 200), 500, 20)
    assert detector.max_detections == MAX_DETECTIONS


def test_device_is_that_of_all_networks(tmp_path: Path, tiny_weights: Path) -> None:
    settings = read_yaml(find_config("tiny_imagenet_detector.yaml"))
    networks = {"members": [str(tiny_weights)] * 2, "cascade_thresholds": [0.1], "device": "cuda:99"}
    settings["classify"]["init_args"] |= networks
    settings["propose"]["init_args"]["proposers"][0]["init_args"]["device"] = "cuda:98"
    detector = load_detector(written(tmp_path, settings), device="cpu")
    assert isinstance(detector.classify, Ensemble)
    assert isinstance(detector.propose, MergedProposer)
    assert isinstance(detector.propose.proposers[0], MultiBoxProposer)
    devices = [*(network.device for network in detector.classify.networks), detector.propose.proposers[0].device]
    assert [str(device) for device in devices] == ["cpu"] * 3
    with pytest.raises(InputError, match="device cuda:98: expected cpu"):
        load_detector(written(tmp_path, settings))


def test_values_of_the_file_arrive(tmp_path: Path, detector_settings: Settings) -> None:
    detector_settings["propose"]["init_args"] = {"scales": [50, 100], "width": 77, "min_side": 3}
    detector_settings["classify"]["init_args"] |= {"batch_size": 5, "precision": "bfloat16"}
    detector_settings |= {"score_threshold": 0.25, "nms_iou_threshold": 0.5, "max_detections": 7}
    detector = load_detector(written(tmp_path, detector_settings))
    propose, classify = detector.propose, detector.classify
    assert isinstance(propose, SelectiveSearch)
    assert isinstance(classify, RegionClassifier)
    assert (propose.scales, propose.width, propose.min_side) == ((50, 100), 77, 3)
    assert (classify.batch_size, classify.precision) == (5, "bfloat16")
    assert (detector.score_threshold, detector.nms_iou_threshold, detector.max_detections) == (0.25, 0.5, 7)
    assert detector.class_names == ("cat", "cup", "rocket")


def test_another_proposer_by_its_import_path(tmp_path: Path, detector_settings: Settings, photo_pixels: Image) -> None:
    detector_settings["propose"] = {"class_path": "proposals.whole_image.WholeImage"}
    detector = load_detector(str(written(tmp_path, detector_settings)))
    assert isinstance(detector.propose, WholeImage)
    np.testing.assert_array_equal(detector(photo_pixels).boxes, [[0, 0, 160, 120]] * 3)  # one of each class


@pytest.mark.parametrize("in_file", ["cuda:99", None])
def test_device_overrides_the_file(
    tmp_path: Path, detector_settings: Settings, capsys: pytest.CaptureFixture[str], in_file: str | None
) -> None:
    detector_settings["classify"]["init_args"]["device"] = in_file
    detector = load_detector(written(tmp_path, detector_settings), device=torch.device("cpu"))
    assert isinstance(detector.classify, RegionClassifier)
    assert detector.classify.device == torch.device("cpu")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["cuda:99", "cpu:0", "abacus", ""])
def test_device_that_is_not_there(tmp_path: Path, detector_settings: Settings, device: str) -> None:
    assert_refused(lambda: load_detector(written(tmp_path, detector_settings), device), f"device {device}", "expected")


def test_settings_are_not_changed(detector_settings: Settings) -> None:
    before = yaml.safe_dump(detector_settings)
    build_detector(detector_settings, source="test", device="cpu")
    assert yaml.safe_dump(detector_settings) == before


PROPOSE, CLASSIFY = ("propose", "init_args"), ("classify", "init_args")


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        pytest.param(("scoer_threshold",), 0.5, "'scoer_threshold'", id="unknown key"),
        pytest.param(("propose", "initargs"), {}, "initargs", id="unknown key of a stage"),
        pytest.param((*PROPOSE, "wdth"), 3, "'wdth'", id="unknown argument"),
        pytest.param((1,), 3, "1", id="key that is no text"),
        pytest.param(("score_threshold",), "high", "score_threshold", id="text for a number"),
        pytest.param(("max_detections",), 1.5, "max_detections", id="fraction for a count"),
        pytest.param(("max_detections",), 0, "max_detections must be a whole number of at least 1", id="no detections"),
        pytest.param((*PROPOSE, "width"), "wide", "width", id="text for a number of a stage"),
        pytest.param((*PROPOSE, "scales"), [50, 100.5], "scales", id="fraction in a list of counts"),
        pytest.param((*CLASSIFY, "precision"), "float7", "precision", id="none of the choices"),
        pytest.param(("propose",), None, "propose", id="nothing for a stage"),
        pytest.param(("propose",), 5, "propose", id="number for a stage"),
        pytest.param(("score_threshold",), 1.5, "score_threshold must lie in 0-1", id="threshold out of range"),
        pytest.param(("nms_iou_threshold",), -1, "nms_iou_threshold must lie in 0-1", id="IoU out of range"),
        pytest.param(
            (*PROPOSE, "engine"), "steam", "engine must be 'compiled' or 'opencv'", id="engine that is not there"
        ),
        pytest.param((*CLASSIFY, "batch_size"), 0, "batch_size must be positive", id="batch without images"),
        pytest.param(
            ("propose", "class_path"), "proposals.selective_search.proposer.Nope", "Nope", id="class not there"
        ),
        pytest.param(("propose", "class_path"), "proposals.nowhere.Nope", "proposals.nowhere", id="module not there"),
        pytest.param(("propose", "class_path"), "Nope", "Nope", id="not an import path"),
        pytest.param(("propose", "class_path"), 3, "propose", id="number for an import path"),
        pytest.param(
            ("propose", "class_path"), "collections.OrderedDict", "Proposer", id="class that is not a proposer"
        ),
        pytest.param(
            ("propose", "class_path"),
            "classifier.region_classifier.RegionClassifier",
            "Proposer",
            id="classifier for a proposer",
        ),
    ],
)
def test_unusable_settings(
    tmp_path: Path, detector_settings: Settings, keys: tuple[Any, ...], value: object, named: str
) -> None:
    target = detector_settings
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    path = written(tmp_path, detector_settings)
    assert_refused(lambda: load_detector(path), f"{path}: expected", named)
    assert_refused(lambda: load_detector(path, device="cpu"), f"{path}: expected", named)


@pytest.mark.parametrize("stage", ["propose", "classify"])
def test_stage_left_out(tmp_path: Path, detector_settings: Settings, stage: str) -> None:
    del detector_settings[stage]
    path = written(tmp_path, detector_settings)
    assert_refused(lambda: load_detector(path), f"{path}: expected", stage)
    assert_refused(lambda: load_detector(path, device="cpu"), f"{path}: expected", stage)


def test_device_for_a_classifier_without_one(tmp_path: Path, detector_settings: Settings) -> None:
    detector_settings["classify"] = {"class_path": f"{__name__}.Deviceless"}
    path = written(tmp_path, detector_settings)
    assert load_detector(path, device="cpu").class_names == ("cat",)


def test_device_for_a_classifier_within_another(tmp_path: Path, detector_settings: Settings) -> None:
    inner = detector_settings["classify"]
    inner["init_args"]["device"] = "cuda:99"
    detector_settings["classify"] = {"class_path": f"{__name__}.Deviceless", "init_args": {"inner": inner}}
    classify = load_detector(written(tmp_path, detector_settings), device="cpu").classify
    assert isinstance(classify, Deviceless)
    assert isinstance(classify.inner, RegionClassifier)
    assert str(classify.inner.device) == "cpu"


class Deviceless:
    """Looks like a classifier, but its constructor has no argument `device`."""

    class_names = ("cat",)

    def __init__(self, inner: Classifier | None = None) -> None:
        self.inner = inner

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:  # noqa: ARG002
        return []


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param(b"", "NoneType", id="empty"),
        pytest.param(b"- a\n- b\n", "list", id="list"),
        pytest.param(b"detector", "str", id="text"),
        pytest.param(b"a: [b\nc: {", "line 2", id="unclosed bracket"),
        pytest.param(b"a: \0", "#x0000", id="binary"),
        pytest.param(b"a: 2024-99-99", "month", id="impossible date"),
        pytest.param(b"a: !!python/object:os.system x", "python/object", id="tag of Python"),
    ],
)
def test_not_a_yaml_mapping(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    assert_refused(lambda: load_detector(path), f"{path}: expected", named)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert_refused(lambda: load_detector(tmp_path / "a.yaml"), f"{tmp_path / 'a.yaml'}: expected", "No such file")
    assert_refused(lambda: load_detector(tmp_path), f"{tmp_path / 'detector.yaml'}: expected", "No such file")


def test_weights_that_are_not_there_are_named(tmp_path: Path, detector_settings: Settings) -> None:
    weights = tmp_path / "nowhere.safetensors"
    detector_settings["classify"]["init_args"]["weights"] = str(weights)
    assert_refused(lambda: load_detector(written(tmp_path, detector_settings)), f"{weights}: ", "expected")


def test_a_shipped_file_is_found_by_its_name_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("detector.yaml") == DEFAULT_CONFIG
    assert find_config("tiny_imagenet.yaml") == DEFAULT_CONFIG.parent / "tiny_imagenet" / "tiny_imagenet.yaml"
    for name in ("no_such.yaml", "configs/detector.yaml", str(tmp_path / "detector.yaml")):
        assert find_config(name) == Path(name)


def test_a_file_in_the_working_directory_comes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector_settings: Settings
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, detector_settings).rename("ensemble.yaml")
    assert find_config("ensemble.yaml") == Path("ensemble.yaml")
    assert load_detector("ensemble.yaml").class_names == ("cat", "cup", "rocket")


def written(folder: Path, settings: Settings) -> Path:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def assert_refused(load: Callable[[], object], start: str, named: str) -> None:
    """Check that `load` raises an `InputError` of one line that begins with `start` and contains `named` after that."""
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(start)
    assert named in message.removeprefix(start)
    assert len(message.splitlines()) == 1


def test_compiled_modules_are_those_of_the_configured_packages(tmp_path: Path) -> None:
    search, warping = "proposals.selective_search.search", "classifier.warp.numba_loops"
    assert find_compiled_modules() == [search, warping]
    stages = {
        "propose": {"class_path": "no_such_package.A"},
        "classify": {"class_path": "classifier.ensemble.Ensemble"},
    }
    assert find_compiled_modules(written(tmp_path, stages)) == [warping]
    assert find_compiled_modules(written(tmp_path, {"propose": "proposals.whole_image.WholeImage"})) == []
    for module in (search, warping):
        assert callable(importlib.import_module(module).load)
