"""MultiBox: the network, its weights file, and the proposer."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from classifier.inception import InceptionTrunk
from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.boxes import box_area, box_iou
from proposals.multibox import MultiBoxProposer
from proposals.multibox.description import METADATA_KEY, MultiBoxDescription
from proposals.multibox.network import FIRST_CONFIDENCE, FixedPriors, MultiBox, as_input, prior_shapes, read_at_priors
from proposals.multibox.proposer import resize, select_boxes
from proposals.multibox.tensor_network import TensorMultiBox
from proposals.multibox.weights_file import load_multibox, save_multibox

TRUNK = {"batch_norm": True, "stem_stride": 4, "width_multiplier": 0.125}
DESCRIPTION = MultiBoxDescription(
    trunk={"class_path": "classifier.inception.InceptionTrunk", "init_args": TRUNK},
    head={"maps": ["4e", "5b"], "width": 8, "points": 2, "hidden": 16},
    priors=300,
    input_size=64,
    training={"seed": 3},
)


def random_priors(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 0.7
    return torch.cat([corners, corners + 0.05 + torch.rand(count, 2, generator=generator) * 0.25], dim=1)


@pytest.fixture(name="network", scope="module")
def random_network() -> MultiBox:
    """Return a network whose outputs differ from image to image and from prior to prior."""
    torch.manual_seed(0)
    trunk = InceptionTrunk(**TRUNK)  # type: ignore[arg-type]
    network = MultiBox(trunk, random_priors(300), width=8, points=2, hidden=16)
    with torch.no_grad():
        for _ in range(20):
            network.train()(torch.randn(8, 3, 64, 64))  # statistics that are not the initial 0 and 1
        network.output.weight.normal_(0, 0.3)
    return network.eval()


@pytest.fixture(name="weights", scope="module")
def saved_weights(network: MultiBox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "multibox.safetensors"
    save_multibox(path, network, DESCRIPTION)
    return path


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_before_training_every_box_is_its_prior() -> None:
    torch.manual_seed(0)
    trunk = InceptionTrunk(**TRUNK)  # type: ignore[arg-type]
    network = MultiBox(trunk, random_priors(50)).eval()
    with torch.inference_mode():
        outputs = network(torch.zeros(2, 3, 64, 64))
        boxes, confidences = network.predictions(outputs)
    assert outputs.residuals.shape == (2, 50, 4)
    assert outputs.logits.shape == (2, 50)
    torch.testing.assert_close(boxes, random_priors(50).expand(2, -1, -1), atol=0.02, rtol=0)
    torch.testing.assert_close(confidences, torch.full((2, 50), FIRST_CONFIDENCE), atol=0.005, rtol=0)


def test_every_parameter_learns(network: MultiBox) -> None:
    """A parameter without a gradient would stop a training with several processes."""
    outputs = network(torch.randn(2, 3, 64, 64))
    network.zero_grad()
    (outputs.residuals.sum() + outputs.logits.sum()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_reads_the_map_at_the_corners_of_a_prior() -> None:
    """The channels of the map are the x and y of each cell's centre, so reading it returns the place that is read."""
    centres = (torch.arange(4) + 0.5) / 4
    features = torch.stack([centres.expand(4, 4), centres[:, None].expand(4, 4)])[None]
    prior = torch.tensor([[0.25, 0.3, 0.75, 0.8]])
    read = read_at_priors(features, prior, 2)
    assert read.shape == (1, 1, 8)
    expected = torch.tensor([[0.25, 0.75, 0.25, 0.75], [0.3, 0.3, 0.8, 0.8]])  # x, then y, row by row
    torch.testing.assert_close(read.view(2, 4), expected)


def test_borders_of_the_image_are_read_from_its_outermost_cells() -> None:
    features = torch.arange(4.0).view(1, 1, 2, 2)
    assert read_at_priors(features, torch.tensor([[0.0, 0, 1, 1]]), 2).flatten().tolist() == [0, 1, 2, 3]


def test_shapes_of_priors() -> None:
    # In the middle and as large as the image: 0 and log2(1) / 4 + 0.5; at the left, a quarter wide: 0.125 x 2 - 1.
    shapes = prior_shapes(torch.tensor([[0.0, 0, 1, 1], [0, 0.25, 0.25, 0.75]]))
    torch.testing.assert_close(shapes, torch.tensor([[0, 0, 0.5, 0.5], [-0.75, 0, 0, 0.25]]))


@pytest.mark.parametrize("size", [(5, 8), (1, 1), (1, 3), (7, 1)])
@pytest.mark.parametrize("points", [1, 2, 3])
def test_fixed_priors_compute_the_same(size: tuple[int, int], points: int) -> None:
    generator = torch.Generator().manual_seed(1)
    priors = torch.cat([random_priors(40), torch.tensor([[0.0, 0, 1, 1], [0, 0.5, 0.5, 1], [0.5, 0.5, 0.5, 0.5]])])
    layer = torch.nn.Linear(6 * points**2 + 4, 16)
    fixed = FixedPriors(priors, points, layer)
    fixed(torch.zeros(1, 6, 4, 4))  # what was computed for another size must not matter
    features = torch.randn(3, 6, *size, generator=generator)
    read = read_at_priors(features, priors, points)
    expected = layer(torch.cat([read, prior_shapes(priors).expand(3, -1, -1)], dim=2))
    assert not fixed(features).requires_grad
    for arrangement in (features, features.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(fixed(arrangement), expected.detach(), atol=1e-5, rtol=1e-5)


def test_fixing_the_priors_changes_nothing_but_gradients(network: MultiBox) -> None:
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    fixed = deepcopy(network)
    fixed.fix_priors()
    expected, found = network(images), fixed(images)
    torch.testing.assert_close(found.residuals, expected.residuals, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-4)
    assert list(fixed.state_dict()) == list(network.state_dict())


def test_input_is_normalised_and_channels_last() -> None:
    pixels = torch.full((2, 4, 4, 3), 104, dtype=torch.uint8)
    inputs = as_input(pixels)
    assert inputs.shape == (2, 3, 4, 4)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(inputs[0, :, 0, 0], torch.tensor([-18.7, -12.7, 0.0]) / 58)


def test_selects_the_best_after_suppression() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0, 0, 1, 0.9], [0.5, 0.5, 0.5, 1], [0.9, 0, 0.6, 1]], np.float32)
    confidences = np.array([0.5, 0.6, 0.7, 0.9, 0.8], np.float32)  # the last two are no boxes; 0 and 2 overlap by 0.9
    assert select_boxes(boxes, confidences, max_boxes=5, nms_iou_threshold=0.7).tolist() == [2, 1]
    assert select_boxes(boxes, confidences, max_boxes=5, nms_iou_threshold=0.95).tolist() == [2, 1, 0]
    assert select_boxes(boxes, confidences, max_boxes=1, nms_iou_threshold=0.95).tolist() == [2]
    assert select_boxes(boxes[:0], confidences[:0], max_boxes=1, nms_iou_threshold=0.5).tolist() == []


IMAGES = [
    pytest.param(noise(90, 130), id="noise"),
    pytest.param(np.full((90, 130, 3), 77, np.uint8), id="one colour"),
    pytest.param(noise(1, 1), id="1x1"),
    pytest.param(noise(3, 2), id="2x3"),
    pytest.param(noise(1, 1000), id="1000:1"),
    pytest.param(noise(1000, 1), id="1:1000"),
    pytest.param(noise(40, 20_000), id="20,000 wide"),
]


@pytest.mark.parametrize("image", IMAGES)
def test_contract(weights: Path, image: Image) -> None:
    propose = MultiBoxProposer(str(weights), device="cpu")
    height, width = image.shape[:2]
    before = image.copy()
    proposals = propose(image)
    again = propose(image)
    np.testing.assert_array_equal(image, before)
    assert proposals.boxes.dtype == proposals.scores.dtype == np.float32
    assert 1 <= len(proposals) <= 200
    assert (proposals.boxes[:, :2] >= 0).all()
    assert (proposals.boxes[:, 2:] <= (width, height)).all()
    assert (box_area(proposals.boxes) > 0).all()
    assert (np.diff(proposals.scores) <= 0).all()
    assert (proposals.scores >= 0).all()
    assert (proposals.scores <= 1).all()
    np.testing.assert_array_equal(again.boxes, proposals.boxes)
    np.testing.assert_array_equal(again.scores, proposals.scores)


def test_keeps_max_boxes_without_near_duplicates(weights: Path, photo_pixels: Image) -> None:
    few = MultiBoxProposer(str(weights), device="cpu", max_boxes=7, nms_iou_threshold=0.4)(photo_pixels)
    assert len(few) == 7
    overlaps = box_iou(few.boxes, few.boxes)
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max() <= 0.4 + 1e-5


@pytest.mark.parametrize(("input_size", "side"), [(None, 64), (96, 96)])
def test_predicts_what_the_network_does_on_the_resized_image(
    weights: Path, photo_pixels: Image, input_size: int | None, side: int
) -> None:
    network, _ = load_multibox(weights)
    with torch.inference_mode():
        outputs = network(as_input(torch.from_numpy(resize(photo_pixels, (side, side)))[None]))
        expected, confidences = network.predictions(outputs)
    propose = MultiBoxProposer(str(weights), device="cpu", precision="float32", input_size=input_size)
    boxes, found = propose.predict(photo_pixels)
    np.testing.assert_allclose(boxes, expected[0], atol=1e-3)
    np.testing.assert_allclose(found, confidences[0], atol=1e-4)
    assert np.ptp(found) > 0.01
    assert np.abs(boxes - network.priors.numpy()).max() > 0.02


@pytest.mark.parametrize(
    ("exponent", "scores"), [(0.0, {"half": 0.5, "whole": 0.2}), (1.0, {"whole": 0.2, "half": 0.125})]
)
def test_size_exponent_ranks_larger_boxes_higher(
    weights: Path, monkeypatch: pytest.MonkeyPatch, exponent: float, scores: dict[str, float]
) -> None:
    propose = MultiBoxProposer(str(weights), device="cpu", size_exponent=exponent)
    boxes = np.array([[0, 0, 0.5, 0.5], [0, 0, 1, 1], [0.9, 0.9, 0.1, 0.1], [0.9, 0, 0.1, 1]], np.float32)
    boxes[0, 2] += 1e-4  # is rounded off
    predicted = boxes, np.array([0.5, 0.2, 0.9, 0.9], np.float32)  # the corners of the last two are the wrong way round
    monkeypatch.setattr(propose, "predict", lambda _: predicted)
    corners = {"half": [0, 0, 30, 10], "whole": [0, 0, 60, 20]}
    found = propose(noise(20, 60))
    assert found.boxes.tolist() == [corners[name] for name in scores]
    np.testing.assert_allclose(found.scores, list(scores.values()), rtol=1e-6)


def test_scale_of_the_image_does_not_matter(weights: Path) -> None:
    propose, image = MultiBoxProposer(str(weights), device="cpu"), noise(64, 128)
    small, large = propose(image), propose(image.repeat(3, axis=0).repeat(3, axis=1))
    np.testing.assert_allclose(large.boxes, 3 * small.boxes, atol=1e-2)
    np.testing.assert_allclose(large.scores, small.scores, atol=1e-5)


def test_bfloat16_keeps_the_priors(weights: Path, photo_pixels: Image) -> None:
    exact, rough = (
        MultiBoxProposer(str(weights), device="cpu", precision=precision) for precision in ("float32", "bfloat16")
    )
    assert isinstance(rough.network, TensorMultiBox)
    assert isinstance(exact.network, TensorMultiBox)
    torch.testing.assert_close(rough.network.network.priors, exact.network.network.priors, atol=0, rtol=0)
    np.testing.assert_allclose(rough.predict(photo_pixels)[0], exact.predict(photo_pixels)[0], atol=0.05)


def test_loaded_network_is_the_saved_one(network: MultiBox, weights: Path) -> None:
    loaded, description = load_multibox(weights)
    assert description == DESCRIPTION
    assert not loaded.training
    torch.testing.assert_close(loaded.priors, network.priors, atol=5e-4, rtol=0)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images).residuals, network(images).residuals, atol=0.05, rtol=0.05)
    assert load_file(weights)["output.weight"].dtype == torch.float16


@pytest.mark.parametrize(("max_boxes", "threshold"), [(0, 0.5), (5, 1.5), (5, -0.1)])
def test_arguments_out_of_range(weights: Path, max_boxes: int, threshold: float) -> None:
    with pytest.raises(ValueError, match="expected positive max_boxes and a threshold in 0-1"):
        MultiBoxProposer(str(weights), max_boxes=max_boxes, nms_iou_threshold=threshold)
    with pytest.raises(ValueError, match="input_size must be positive"):
        MultiBoxProposer(str(weights), input_size=0)
    with pytest.raises(ValueError, match="size_exponent must be at least 0"):
        MultiBoxProposer(str(weights), size_exponent=-0.1)


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        MultiBoxProposer(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.safetensors", "no such weights file; expected safetensors of MultiBox")


def test_broken_file(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(weights.read_bytes()[:-100])
    assert_refused(path, "expected safetensors of MultiBox, cannot read it")


def test_weights_of_a_classifier(tiny_weights: Path) -> None:
    assert_refused(tiny_weights, "expected weights of MultiBox, found no 'multibox' in its metadata")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (replace(DESCRIPTION, priors=299), "fit their description"),
        (replace(DESCRIPTION, head={"width": 9}), "fit their description"),
        (replace(DESCRIPTION, head={"maps": ["4e", "9z"]}), "9z"),
        (replace(DESCRIPTION, trunk={"class_path": "os.system", "init_args": {}}), "package classifier, got os.system"),
        (replace(DESCRIPTION, trunk={"class_path": "classifier.alexnet.Nothing", "init_args": {}}), "Nothing"),
        (replace(DESCRIPTION, trunk={}), "class_path"),
    ],
)
def test_description_that_does_not_fit(
    weights: Path, tmp_path: Path, description: MultiBoxDescription, reason: str
) -> None:
    path = tmp_path / "other.safetensors"
    save_file(load_file(weights), path, metadata={METADATA_KEY: json.dumps(asdict(description))})
    assert_refused(path, reason)
