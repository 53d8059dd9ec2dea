"""A single network as a classifier: batches, memory limits and folding do not change its scores."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from classifier.box_deltas import RegionOutputs, decode_boxes
from classifier.googlenet import GoogLeNet
from classifier.region_classifier import RegionClassifier
from classifier.scoring import score as score_module
from classifier.scoring.loaded_network import LoadedNetwork, softmax, svm_probabilities
from classifier.scoring.weights_file import load_region_network, load_weights, save_weights
from classifier.warp import crop
from classifier.warp.crop import shrink_to, warp_regions
from detection.detector import Detector
from detection.errors import InputError
from detection.runtime.batch_norm_folding import fold_batch_norm
from detection.runtime.device import find_device
from detection.runtime.pixels import SCALE
from detection.structures.contracts import Proposals
from tests.classifier.scoring.member_examples import BOXES, IMAGES, REGIONS, Write, exact_classifier, image, refined


@pytest.fixture(name="weights", scope="module")
def weights_file(write: Write) -> Path:
    return Path(write(0))


def test_refuses_a_network_for_whole_images(weights: Path, tmp_path: Path) -> None:
    description = dataclasses.replace(load_weights(weights)[1], background=False)
    network = description.build()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    save_weights(tmp_path / "whole.safetensors", network, description)
    with pytest.raises(InputError, match=r"whole\.safetensors: expected a network that was trained on regions"):
        RegionClassifier(str(tmp_path / "whole.safetensors"))


def test_weights_that_give_nan_are_named(weights: Path, tmp_path: Path) -> None:
    network, description = load_weights(weights)
    with torch.no_grad():
        network.get_parameter("linear.weight")[0, 0] = torch.nan
    save_weights(tmp_path / "damaged.safetensors", network, description)
    with pytest.raises(InputError, match=r"damaged\.safetensors: expected weights that give finite scores and boxes"):
        RegionClassifier(str(tmp_path / "damaged.safetensors"))([image()], [BOXES])


def warped() -> torch.Tensor:
    """The regions `BOXES` of the first image, as a network reads them: [5, 3, 32, 32]."""
    return warp_regions(torch.from_numpy(image())[None], torch.from_numpy(BOXES)[None], size=32, context=2)[0] * SCALE


def test_is_softmax_of_the_network_on_warped_regions(weights: Path) -> None:
    network, _ = load_weights(weights)
    with torch.inference_mode():
        expected = network(warped()).softmax(1).numpy()
    scores = exact_classifier(str(weights))([image()], [BOXES])[0]
    assert scores.boxes is None
    assert scores.probabilities.dtype == np.float32
    np.testing.assert_allclose(scores.probabilities, expected, atol=1e-4)
    assert np.ptp(expected[:, 1]) > 0.01  # the regions do differ


@pytest.fixture(name="rcnn_weights", scope="module")
def rcnn_weights_file(write: Write) -> Path:
    """A random network with SVMs and box regression."""
    return Path(write(7, head="svm", refines=True))


def test_svms_and_refined_boxes_of_the_network_on_warped_regions(rcnn_weights: Path) -> None:
    network, _ = load_region_network(rcnn_weights)
    with torch.inference_mode():
        outputs = network(warped())
    scores = exact_classifier(str(rcnn_weights), batch_size=2)([image()], [BOXES])[0]
    np.testing.assert_allclose(scores.probabilities[:, 1:], outputs.logits.sigmoid(), atol=1e-4)
    assert refined(scores).dtype == np.float32
    expected = decode_boxes(torch.from_numpy(BOXES), outputs.deltas, (30, 40))
    np.testing.assert_allclose(refined(scores), expected, atol=1e-2)
    assert np.abs(refined(scores) - BOXES[:, None]).max() > 1  # they do move
    assert np.ptp(refined(scores), axis=1).max() > 1  # each class its own way


def test_boxes_are_refined_only_if_asked_for(rcnn_weights: Path) -> None:
    refining, plain = (exact_classifier(str(rcnn_weights), refine=refine) for refine in (True, False))
    scores, unrefined = (classify([image()], [BOXES])[0] for classify in (refining, plain))
    assert unrefined.boxes is None
    assert refined(scores).shape == (5, 3, 4)
    np.testing.assert_array_equal(unrefined.probabilities, scores.probabilities)


def test_refined_boxes_reach_the_detections(rcnn_weights: Path) -> None:
    classify = exact_classifier(str(rcnn_weights))
    scores = classify([image()], [BOXES])[0]
    detector = Detector(
        lambda _: Proposals(BOXES, np.ones(5, np.float32)), classify, score_threshold=0.0, nms_iou_threshold=1.0
    )
    detections = detector(image())
    assert len(detections) == 15
    best = np.unravel_index(scores.probabilities[:, 1:].argmax(), (5, 3))
    assert detections.labels[0] == best[1]
    np.testing.assert_allclose(detections.boxes[0], refined(scores)[best], atol=1e-4)


def test_images_share_batches_but_each_has_its_own_borders(rcnn_weights: Path) -> None:
    classify = exact_classifier(str(rcnn_weights), batch_size=4)
    together = classify(IMAGES, REGIONS)
    assert [len(scores.probabilities) for scores in together] == [5, 0, 3]
    for scores, picture, boxes in zip(together, IMAGES, REGIONS, strict=True):
        alone = classify([picture], [boxes])[0]
        np.testing.assert_allclose(scores.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(refined(scores), refined(alone), atol=1e-3)
    (smaller,) = classify([IMAGES[1]], [BOXES])  # of 30 x 20 pixels
    assert refined(together[0])[..., 2:].max(axis=(0, 1)).tolist() == [40, 30]
    assert refined(smaller)[..., 2:].max(axis=(0, 1)).tolist() == [30, 20]
    assert refined(together[1]).shape == (0, 3, 4)


def test_boxes_of_a_shrunk_image_are_refined_in_its_own_pixels(
    rcnn_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify = exact_classifier(str(rcnn_weights))
    large = np.kron(image(), np.ones((4, 4, 1), np.uint8))  # four times as high and wide, and shrunk without loss
    small = classify([image()], [BOXES])[0]
    monkeypatch.setattr(crop, "MAX_PIXELS", 30 * 40)
    scores = classify([large], [BOXES * 4])[0]
    np.testing.assert_allclose(scores.probabilities, small.probabilities, atol=1e-4)
    np.testing.assert_allclose(refined(scores), refined(small) * 4, atol=0.05)


def test_svm_scores_keep_the_order_of_the_margins() -> None:
    margins = torch.tensor([[-1.0, 0.0, 2.0], [-3.0, -2.0, -1.5]])
    probabilities = svm_probabilities(margins)
    # 1 / (1 + e) = 0.2689, 1/2, 0.8808; 0.0474, 0.1192, 0.1824.
    expected = torch.tensor([[0.1192, 0.2689, 0.5, 0.8808], [0.8176, 0.0474, 0.1192, 0.1824]])
    torch.testing.assert_close(probabilities, expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(svm_probabilities(margins.numpy()), expected, atol=1e-4)
    assert svm_probabilities(np.array([[-1e4, 1e4]], np.float32)).tolist() == [[0, 0, 1]]
    assert svm_probabilities(margins[:0]).shape == (0, 4)
    random = torch.randn((20, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(svm_probabilities(random)[:, 1:].flatten().argsort(), random.flatten().argsort())


def test_softmax_of_arrays() -> None:
    logits = torch.randn((20, 5), generator=torch.Generator().manual_seed(0)) * 30
    np.testing.assert_allclose(softmax(logits.numpy()), softmax(logits), atol=1e-6)
    assert softmax(np.array([[1e4, -1e4]], np.float32)).tolist() == [[1, 0]]
    assert softmax(np.zeros((0, 5), np.float32)).shape == (0, 5)


def test_features_are_what_the_heads_read(rcnn_weights: Path) -> None:
    network, _ = load_region_network(rcnn_weights)
    classify = exact_classifier(str(rcnn_weights), batch_size=2)
    with torch.inference_mode():
        expected = network.features(warped())
    torch.testing.assert_close(classify.region_features(image(), BOXES), expected, atol=1e-4, rtol=1e-4)
    assert classify.region_features(image(), BOXES[:0]).shape == (0, 128)
    copy = pickle.loads(pickle.dumps(classify))  # also after it has computed features
    torch.testing.assert_close(copy.region_features(image(), BOXES), expected, atol=1e-4, rtol=1e-4)


def test_huge_images_are_shrunk_with_their_boxes() -> None:
    large = np.zeros((60, 80, 3), np.uint8)
    large[12:36, 20:60] = 200
    smaller, boxes = shrink_to(1200, large, np.array([[20, 12, 60, 36]], np.float32))
    assert smaller.shape == (30, 40, 3)
    assert boxes.tolist() == [[10, 6, 30, 18]]
    assert (smaller[6:18, 10:30] == 200).all()
    assert smaller.sum() == 200 * 3 * 12 * 20
    same, _ = shrink_to(4800, large, boxes)
    assert same is large


def test_no_images_and_no_regions(weights: Path) -> None:
    classify = exact_classifier(str(weights))
    assert classify([], []) == []
    assert classify([image()], [BOXES[:0]])[0].probabilities.shape == (0, 4)


def test_bfloat16_is_close(weights: Path) -> None:
    exact = exact_classifier(str(weights))([image()], [BOXES])[0]
    rough = RegionClassifier(str(weights), device="cpu", precision="bfloat16")([image()], [BOXES])[0]
    np.testing.assert_allclose(rough.probabilities, exact.probabilities, atol=0.05)


def test_folding_keeps_the_function_and_leaves_no_normalisation() -> None:
    torch.manual_seed(1)
    network = GoogLeNet(4, batch_norm=True, width_multiplier=0.125)
    images = torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        network(images)
        expected = network.eval()(images)
        actual = fold_batch_norm(network)(images)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_folding_refuses_training_mode() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norm(GoogLeNet(4, batch_norm=True, width_multiplier=0.125).train())


@pytest.mark.parametrize("name", ["nonsense", "meta", "mps", "", "cuda:", "cuda:-1", "cuda:1234"])
def test_unknown_device(name: str) -> None:
    with pytest.raises(InputError, match=f"^device {name}: expected cpu, cuda, or cuda:N for GPU number N$"):
        find_device(name)


@pytest.mark.parametrize(
    ("name", "gpus", "there"),
    [
        ("cuda", 0, "cpu, because PyTorch finds no GPU here"),
        ("cuda:1", 1, "cpu or cuda:0, because PyTorch finds one GPU here"),
        ("cuda:8", 8, "cpu or cuda:0 to cuda:7, because PyTorch finds 8 GPUs here"),
    ],
)
def test_gpu_that_is_not_there(name: str, gpus: int, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(InputError, match=f"^device {name}: expected {there}$"):
        find_device(name)


def test_default_device() -> None:
    assert find_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_bad_batch_size(weights: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        RegionClassifier(str(weights), batch_size=0)


def test_missing_weights_file() -> None:
    with pytest.raises(InputError, match=r"^no_such\.safetensors: no such weights file"):
        RegionClassifier("no_such.safetensors")


@pytest.mark.parametrize("region_bytes", [0, 3 * 12 * 32**2, 7 * 12 * 32**2])
def test_memory_bound_changes_nothing(weights: Path, region_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images, boxes = [image(seed) for seed in range(4)], [BOXES, BOXES[:0], BOXES[1:], BOXES[:1]]
    classify = RegionClassifier(str(weights), device="cpu", precision="float32", batch_size=2)
    expected = classify(images, boxes)
    monkeypatch.setattr(score_module, "REGION_BYTES", region_bytes)
    warped: list[int] = []
    original = LoadedNetwork.outputs

    def counting(self: LoadedNetwork, inputs: torch.Tensor, *, mirrored: bool) -> RegionOutputs:
        warped.append(len(inputs))
        return original(self, inputs, mirrored=mirrored)

    monkeypatch.setattr(LoadedNetwork, "outputs", counting)
    actual = classify(images, boxes)
    at_once = {0: 2, 3: 2, 7: 6}[region_bytes // (12 * 32**2)]  # whole batches
    assert warped == [at_once] * (10 // at_once) + [10 % at_once] * (10 % at_once > 0)
    for before, after in zip(expected, actual, strict=True):
        np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-5)
