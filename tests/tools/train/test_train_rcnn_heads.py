"""Tests of SVMs and box regression on the features of a network that tells two colours apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from classifier.box_deltas import encode_boxes
from classifier.region_classifier import RegionClassifier
from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_region_network, load_weights, save_weights
from classifier.training.rcnn_heads.linear_head import LinearHead
from detection.structures.boxes import as_boxes
from detection.structures.ground_truth import GroundTruth
from proposals.whole_image import WholeImage
from tests.tools.conftest import write_picture
from tools.command.image_proposals import ImageProposals
from tools.measure.evaluate import command as evaluate
from tools.train import train_rcnn_heads
from tools.train.train_rcnn_heads import RegionFeatures, match_regions, positives, save_heads

# Lightning's own remarks on the small run that trains the features.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

NAMES = ("red square", "blue square")
PICTURES = 16


@pytest.fixture(name="softmax", scope="module")
def weights_without_a_class_layer(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a network whose features tell two colours apart on any machine, with a class layer of zeros."""
    network, description = load_weights(trained)
    for parameter in network.get_submodule("linear").parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path_factory.mktemp("weights") / "softmax.safetensors"
    save_weights(path, network, replace(description, training={"seed": 7}))
    return path


def run(config: Path, data: Path, weights: Path, save: Path, *options: str) -> int:
    paths = ["--config", str(config), "--data", str(data), "--weights", str(weights), "--save", str(save)]
    return train_rcnn_heads.main([*paths, *options])


@pytest.fixture(name="rcnn", scope="module")
def rcnn_weights(config: Path, data: Path, softmax: Path) -> Path:
    path = softmax.parent / "rcnn.safetensors"
    assert run(config, data, softmax, path, "--limit", str(PICTURES)) == 0
    return path


def mean_average_precision(config: Path, data: Path, weights: Path, report: Path) -> float:
    options = ["--config", str(config), "--data", str(data), "--json", str(report)]
    assert evaluate.main(["run", *options, "--detector.classify.init_args.weights", str(weights)]) == 0
    return float(json.loads(report.read_text())["mAP"])


def test_heads_find_what_the_class_layer_does_not(
    rcnn: Path, softmax: Path, config: Path, data: Path, tmp_path: Path
) -> None:
    """Rounding, which depends on the number of threads, changes the features and so the last figure (1.0 or 0.65)."""
    assert mean_average_precision(config, data, softmax, tmp_path / "before.json") < 0.1
    assert mean_average_precision(config, data, rcnn, tmp_path / "after.json") > 0.5


def test_file_says_what_it_holds(rcnn: Path, softmax: Path) -> None:
    network, description = load_region_network(rcnn)
    assert (description.head, description.box_regression) == ("svm", True)
    assert description.class_names == NAMES
    assert description.training == {
        "seed": 7,
        "made_by": "inception-rcnn (detect-train-rcnn-heads)",
        "rcnn_heads": {"images": PICTURES, "seed": 1},
    }
    assert network.box_head is not None
    assert network.box_head.weight.any()
    old, new = load_file(softmax), load_file(rcnn)
    assert all(torch.equal(old[name], new[name]) for name in old if not name.startswith("linear."))
    assert new["linear.weight"].shape[0] == 2


def test_box_regression_alone_keeps_the_softmax(config: Path, data: Path, softmax: Path, tmp_path: Path) -> None:
    path = tmp_path / "refined.safetensors"
    assert run(config, data, softmax, path, "--svm", "false", "--limit", "4") == 0
    _, description = load_region_network(path)
    assert (description.head, description.box_regression) == ("softmax", True)
    assert description.training["rcnn_heads"]["images"] == 4
    old, new = load_file(softmax), load_file(path)
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_svms_alone_keep_a_head_for_boxes(config: Path, data: Path, rcnn: Path, tmp_path: Path) -> None:
    path = tmp_path / "svm.safetensors"
    assert run(config, data, rcnn, path, "--ridge", "false", "--limit", "4") == 0
    _, description = load_region_network(path)
    assert (description.head, description.box_regression) == ("svm", True)
    old, new = load_file(rcnn), load_file(path)
    assert torch.equal(old["box_head.weight"], new["box_head.weight"])
    assert not torch.equal(old["linear.weight"], new["linear.weight"])


def test_same_seed_same_file(config: Path, data: Path, softmax: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    assert run(config, data, softmax, first, "--limit", "4") == 0
    assert run(config, data, softmax, again, "--limit", "4") == 0
    tensors = load_file(again)
    assert all(torch.equal(value, tensors[name]) for name, value in load_file(first).items())


def test_layers_take_features_as_they_are(softmax: Path, tmp_path: Path) -> None:
    trunk, description = load_weights(softmax)
    generator = np.random.default_rng(0)
    svms = LinearHead(generator.normal(size=(2, 128)).astype(np.float32), generator.normal(size=2).astype(np.float32))
    ridge = LinearHead(generator.normal(size=(8, 128)).astype(np.float32), generator.normal(size=8).astype(np.float32))
    save_heads(softmax, tmp_path / "both.safetensors", svms, ridge, scale=0.25, training={})
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network, _ = load_region_network(tmp_path / "both.safetensors")
    with torch.inference_mode():
        outputs = network(images)
        features = trunk.features(images).numpy() * 0.25  # type: ignore[operator]
    np.testing.assert_allclose(outputs.logits, features @ svms.weight.T + svms.bias, rtol=2e-2, atol=2e-2)
    np.testing.assert_allclose(outputs.deltas.flatten(1), features @ ridge.weight.T + ridge.bias, rtol=2e-2, atol=2e-2)
    assert description.head == "softmax"


def test_auxiliary_heads_are_left_out(tiny_description: NetworkDescription, tmp_path: Path) -> None:
    init_args = {"width_multiplier": 0.125, "auxiliary_heads": True}
    description = replace(tiny_description, init_args=init_args, input_size=224, context=16)
    source, target = tmp_path / "auxiliary.safetensors", tmp_path / "svm.safetensors"
    save_weights(source, description.build(), description)
    svms = LinearHead(np.ones((3, 128), np.float32), np.zeros(3, np.float32))
    save_heads(source, target, svms, None, scale=1.0, training={})
    network, fitted = load_region_network(target)
    assert fitted.init_args == {"width_multiplier": 0.125}
    assert not any("auxiliary" in name for name in network.state_dict())


def test_regions_are_matched_with_the_object_they_overlap_most() -> None:
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 20, 10)])
    record = GroundTruth("a", Path("a.png"), boxes, np.array([5, 3]))
    # IoU with the two: 1 and 0.5; 0.5 and 1; 10/14 and 0.7; 0.6, not above it, and 0.3; 0 and 0.
    regions = as_boxes([(0, 0, 10, 10), (0, 0, 20, 10), (0, 0, 14, 10), (0, 0, 6, 10), (50, 0, 60, 10)])
    features = np.arange(10, dtype=np.float32).reshape(5, 2)
    matched, deltas, labels = match_regions(regions, features, record)
    assert matched.tolist() == features[:3].tolist()
    assert labels.tolist() == [5, 3, 5]
    expected = encode_boxes(torch.from_numpy(regions[:3]), torch.from_numpy(boxes[[0, 1, 0]]))
    assert deltas.tolist() == expected.tolist()


def test_ignored_objects_are_neither_positives_nor_regions(softmax: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_picture(path, 0, np.random.default_rng(0))
    boxes, ignored = as_boxes([(0, 0, 20, 20), (0, 0, 64, 64), (30, 30, 50, 50)]), np.array([False, True, False])
    record = GroundTruth("a", path, boxes, np.array([1, 0, 0]), ignored)
    nothing_else = GroundTruth("b", path, boxes[1:2], np.array([0]), ignored[1:2])
    features = RegionFeatures(RegionClassifier(str(softmax), device="cpu"), ImageProposals(WholeImage()))
    regions, region_features = features.extract_regions(record)
    assert regions.tolist() == boxes[[0, 2]].tolist()  # the whole image, the only proposal, is the ignored object
    assert region_features.shape == (2, 128)
    red, blue = positives(features, [record, nothing_else], num_classes=2)
    assert len(red) == len(blue) == 1
    np.testing.assert_allclose([blue[0], red[0]], region_features, rtol=1e-5, atol=1e-5)
    near = as_boxes([(0, 0, 60, 64), (0, 0, 20, 19), (30, 30, 50, 50)])
    matched, _, labels = match_regions(near, np.eye(3, dtype=np.float32), record)
    assert labels.tolist() == [1, 0]
    assert matched.tolist() == np.eye(3)[1:].tolist()


def message(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a failing run prints."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("detect-train-rcnn-heads: ")
    return lines[0].removeprefix("detect-train-rcnn-heads: ")


def test_weights_of_other_classes(
    config: Path, data: Path, softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, description = load_weights(softmax)
    other, fewer = tmp_path / "other.safetensors", tmp_path / "fewer.safetensors"
    save_weights(other, network, replace(description, class_names=("red square", "green square")))
    assert run(config, data, other, tmp_path / "out.safetensors") == 1
    assert message(capsys) == f"{other}: expected the classes of {data}, class 1 is 'green square', not 'blue square'"
    description = replace(description, class_names=(*NAMES, "more"))
    save_weights(fewer, description.build(), description)
    assert run(config, data, fewer, tmp_path / "out.safetensors") == 1
    assert message(capsys) == f"{fewer}: expected the 2 classes of {data}, got 3"
    assert not (tmp_path / "out.safetensors").exists()


def test_class_without_objects(
    config: Path, data: Path, softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, data, softmax, tmp_path / "out.safetensors", "--limit", "1") == 1
    expected = "expected objects of every class in 1 images of split 'train', got none of blue square"
    assert message(capsys) == f"{data / 'tiny-imagenet-200'}: {expected}"


def test_weights_that_are_not_there(
    config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, data, tmp_path / "none.safetensors", tmp_path / "out.safetensors") == 1
    assert message(capsys).startswith(f"{tmp_path / 'none.safetensors'}: no such weights file")


def test_folder_in_place_of_a_file(
    config: Path, data: Path, softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, data, softmax, tmp_path) == 1
    assert message(capsys) == f"{tmp_path}: expected a file to write, got a folder"


def test_nothing_to_fit(
    config: Path, data: Path, softmax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--svm", "false", "--ridge", "false"]
    assert run(config, data, softmax, tmp_path / "out.safetensors", *options) == 1
    assert message(capsys) == "expected --svm true or --ridge true, got neither"


@pytest.mark.parametrize("limit", ["0", "-3"])
def test_limit_below_one(
    limit: str, config: Path, data: Path, softmax: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(config, data, softmax, softmax.parent / "out.safetensors", "--limit", limit)
    assert "limit" in capsys.readouterr().err
