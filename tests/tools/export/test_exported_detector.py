"""A detector of ONNX files finds the same as the one whose networks PyTorch computes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from classifier.ensemble import Ensemble
from classifier.region_classifier import RegionClassifier
from classifier.scoring.description import find_weights
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.weights_file import load_region_network
from classifier.warp.crop import upload
from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.runtime.int8 import runs_int8
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import box_iou
from detection.structures.contracts import RegionScores
from proposals.multibox import MultiBoxProposer
from tests.tools.export.conftest import INPUT_SIZE, MEMBERS

needs_int8 = pytest.mark.skipif(not runs_int8(), reason="needs convolutions of bytes")

BOXES = np.array([[0, 0, 160, 120], [5, 5, 50, 45], [100, 20, 159, 110], [3, 4, 5, 6]], np.float32)


@pytest.fixture(name="pixels")
def writable_photo(photo_pixels: Image) -> Image:
    return photo_pixels.copy()


def score(classify: Ensemble | RegionClassifier, image: Image) -> RegionScores:
    (scores,) = classify([image], [BOXES])
    return scores


def spread(values: FloatArray) -> float:
    """The largest difference between two regions."""
    return float(np.ptp(values, axis=0).max())


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("member", MEMBERS)
def test_a_network_in_float32(config: Path, exact: Path, member: str, mirror: bool, pixels: Image) -> None:
    source = str(config.with_name(f"{member}.safetensors"))
    expected = score(RegionClassifier(source, device="cpu", precision="float32", mirror=mirror), pixels)
    actual = score(RegionClassifier(str(exact / f"{member}.onnx"), mirror=mirror), pixels)
    np.testing.assert_allclose(actual.probabilities, expected.probabilities, atol=1e-4)
    assert spread(expected.probabilities) > 0.01
    assert (actual.boxes is None) == (expected.boxes is None) == (member == "first")
    if actual.boxes is not None and expected.boxes is not None:
        np.testing.assert_allclose(actual.boxes, expected.boxes, atol=1e-2)


@needs_int8
@pytest.mark.parametrize("member", MEMBERS)
def test_a_network_in_int8(config: Path, fast: Path, member: str, pixels: Image) -> None:
    classifiers = [
        RegionClassifier(str(config.with_name(f"{member}.safetensors")), device="cpu", precision="int8"),
        RegionClassifier(str(fast / f"{member}.onnx"), precision="int8"),
    ]
    expected, actual = (score(classify, pixels).probabilities for classify in classifiers)
    np.testing.assert_allclose(actual, expected, atol=1e-5)  # all bytes are the same
    first, second = (classify.input_format for classify in classifiers)
    assert first.quantisation == second.quantisation is not None  # both read the same bytes


@needs_int8
def test_a_shipped_network_computes_the_same_bytes(pixels: Image) -> None:
    """A few different bytes, of a million in a region, would change logits by 0.01."""
    corners = np.random.default_rng(0).uniform(0, 1, (16, 2)) * (60, 40)
    boxes = np.concatenate([corners, corners + np.array([90, 70])], axis=1).astype(np.float32)
    path = find_weights("everyday.safetensors")
    torch_network, onnx_network = (
        LoadedNetwork(str(file), device="cpu", precision="int8", batch_size=None)
        for file in (path, path.with_suffix(".onnx"))
    )
    inputs = onnx_network.input_format.warp([upload(pixels, boxes, onnx_network.device)])
    expected = torch_network.outputs(torch.from_numpy(inputs))
    actual = onnx_network.outputs(inputs)
    assert spread(expected.logits.numpy()) > 1
    for values, others in zip(actual, expected, strict=True):
        np.testing.assert_allclose(values, others, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 3, 70])
def test_batches_of_any_size(exact: Path, count: int) -> None:
    network = LoadedNetwork(str(exact / "second.onnx"), device=None, precision=None, batch_size=64)
    inputs = torch.randn((count, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    logits, deltas = network.outputs(inputs)
    assert (list(logits.shape), deltas is None or list(deltas.shape)) == ([count, 4], [count, 3, 4])
    alone = [network.outputs(image).logits for image in inputs.split(1)]
    torch.testing.assert_close(logits, torch.cat([logits[:0], *alone]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("image_size", [(120, 160), (30, 20)])
def test_multibox_in_float32(config: Path, exact: Path, image_size: Sequence[int], pixels: Image) -> None:
    image = pixels[: image_size[0], : image_size[1]]
    source = str(config.with_name("boxes.safetensors"))
    expected = MultiBoxProposer(source, device="cpu", precision="float32", input_size=INPUT_SIZE)
    actual = MultiBoxProposer(str(exact / "boxes.onnx"))
    for values, others in zip(actual.predict(image), expected.predict(image), strict=True):
        np.testing.assert_allclose(values, others, atol=1e-4)
    boxes, others = actual(image).boxes, expected(image).boxes
    assert len(boxes) == len(others)
    assert box_iou(boxes, others).max(axis=1).min() > 0.999  # boxes of nearly equal confidence may change places


def test_the_whole_detector(config: Path, exact: Path, pixels: Image) -> None:
    expected, actual = load_detector(config), load_detector(exact)
    for network in (expected.classify, actual.classify):
        assert isinstance(network, Ensemble)
    exactly = Ensemble(
        [str(config.with_name(f"{member}.safetensors")) for member in MEMBERS],
        device="cpu",
        precision="float32",
        cascade_thresholds=[0.3],
    )
    expected = Detector(expected.propose, exactly, score_threshold=0.0)
    found, others = actual([pixels, pixels[::-1]]), expected([pixels, pixels[::-1]])
    for detections, other in zip(found, others, strict=True):
        assert len(detections) > 3
        np.testing.assert_array_equal(detections.labels, other.labels)
        np.testing.assert_allclose(detections.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(detections.boxes, other.boxes, atol=1e-1)


def test_a_copy_finds_the_same(fast: Path, pixels: Image) -> None:
    detector = load_detector(fast)
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy(pixels).boxes, detector(pixels).boxes)


def test_precisions_and_metadata(exact: Path, fast: Path) -> None:
    names = ("boxes", *MEMBERS)
    assert [precision(exact / f"{name}.onnx") for name in names] == ["float32"] * 3
    assert [precision(fast / f"{name}.onnx") for name in names] == ["float32", "int8", "int8"]
    model = onnx.load(fast / "first.onnx")
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("DequantizeLinear") > 3 * 50
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)  # they name folders
    assert b"/tools/export" not in (fast / "first.onnx").read_bytes()


def precision(path: Path) -> str:
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    return "int8" if "QuantizeLinear" in kinds else "float32"


def test_onnx_files_among_others(config: Path, exact: Path, pixels: Image) -> None:
    """A member of each kind; both are computed on the CPU."""
    members = [str(exact / "first.onnx"), str(config.with_name("second.safetensors"))]
    mixed = Ensemble(members, device="cpu", precision="float32")
    pure = Ensemble([members[0], str(exact / "second.onnx")])
    expected = score(pure, pixels).probabilities
    np.testing.assert_allclose(score(mixed, pixels).probabilities, expected, atol=1e-4)


def test_wrong_use(exact: Path) -> None:
    first, boxes = str(exact / "first.onnx"), str(exact / "boxes.onnx")
    with pytest.raises(InputError, match=r"boxes\.onnx: expected an ONNX file of a region classifier that detect-exp"):
        RegionClassifier(boxes)
    with pytest.raises(InputError, match=r"first\.onnx: expected an ONNX file of MultiBox that detect-export has writ"):
        MultiBoxProposer(first)
    with pytest.raises(InputError, match=r"first\.onnx: expected precision float32, with which detect-export wrote it"):
        RegionClassifier(first, precision="int8")
    with pytest.raises(InputError, match=rf"boxes\.onnx: expected input_size {INPUT_SIZE}, with which detect-export w"):
        MultiBoxProposer(boxes, input_size=64)
    with pytest.raises(InputError, match=r"first\.onnx: expected the safetensors file of this network"):
        RegionClassifier(first).region_features(np.zeros((9, 9, 3), np.uint8), BOXES[3:])
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"first\.onnx: expected device cpu for an ONNX file, got cuda"):
            RegionClassifier(first, device="cuda")
    with pytest.raises(InputError, match=r"first\.onnx: expected safetensors of a region classifier"):
        load_region_network(exact / "first.onnx")


def test_other_classes(exact: Path, tmp_path: Path) -> None:
    """The description of a file names other classes than that of the member before it, or too few of them."""
    for names, message in (
        (["cat", "cup", "dog"], r"other\.onnx: expected the classes of .*first\.onnx"),
        (["cat"], r"other\.onnx: expected an ONNX file that fits its description: expected logits of \[None, 2\], got"),
    ):
        model = onnx.load(exact / "first.onnx")
        for entry in model.metadata_props:
            entry.value = entry.value.replace('["cat", "cup", "rocket"]', str(names).replace("'", '"'))
        (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match=message):
            Ensemble([str(exact / "first.onnx"), str(tmp_path / "other.onnx")])
