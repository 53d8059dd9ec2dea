"""Tests of Caffe's GoogLeNet as a network of ours: a plain forward pass with Caffe's names of layers is the oracle."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from classifier.googlenet import GoogLeNet
from classifier.inception import TABLE_1
from classifier.training.initial_weights.batch_norm_start import with_batch_norm
from classifier.training.initial_weights.caffe_weights import from_caffe, layer_names, load_caffe
from detection.errors import InputError
from detection.runtime.pixels import MEAN_RGB, SCALE

CAFFE_MEAN_BGR = (104.0, 117.0, 123.0)


@pytest.fixture(name="blobs", scope="module")
def random_blobs() -> dict[str, Tensor]:
    """Weights for five classes, with activations in the hundreds, where Caffe's response normalisation matters."""
    generator = torch.Generator().manual_seed(0)
    shapes = GoogLeNet(5, caffe_details=True).state_dict()
    blobs = {}
    for theirs, ours in layer_names().items():
        shape = shapes[f"{ours}.weight"].shape
        deviation = (2 / shape[1:].numel()) ** 0.5
        blobs[f"{theirs}.weight"] = torch.randn(shape, generator=generator) * deviation
        blobs[f"{theirs}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    blobs["loss3/classifier.weight"] *= 0.01  # logits of about one, for the tolerance
    return blobs


@pytest.fixture(name="pixels", scope="module")
def random_pixels() -> Tensor:
    """RGB 0-255 [2, 3, 97, 120]; with an odd size, a wrong rounding of the poolings shows."""
    return torch.randint(0, 256, (2, 3, 97, 120), generator=torch.Generator().manual_seed(1)).float()


def our_input(pixels: Tensor) -> Tensor:
    return (pixels - torch.tensor(MEAN_RGB).view(3, 1, 1)) * SCALE


def caffe_forward(blobs: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """Logits of RGB pixels 0-255 [B, 3, H, W], layer by layer as Caffe's `train_val.prototxt` lists them."""

    def convolve(name: str, features: Tensor, *, stride: int = 1) -> Tensor:
        weight = blobs[f"{name}.weight"]
        padding = weight.shape[-1] // 2
        return functional.conv2d(features, weight, blobs[f"{name}.bias"], stride, padding).relu()

    def normalise_response(features: Tensor) -> Tensor:
        return functional.local_response_norm(features, 5, alpha=1e-4, beta=0.75, k=1.0)

    def pool(features: Tensor) -> Tensor:
        return functional.max_pool2d(features, 3, 2, ceil_mode=True)

    features = pixels.flip(1) - torch.tensor(CAFFE_MEAN_BGR).view(3, 1, 1)
    features = normalise_response(pool(convolve("conv1/7x7_s2", features, stride=2)))
    features = convolve("conv2/3x3", convolve("conv2/3x3_reduce", features))
    features = pool(normalise_response(features))
    for block in TABLE_1:
        name = f"inception_{block}"
        branches = [
            convolve(f"{name}/1x1", features),
            convolve(f"{name}/3x3", convolve(f"{name}/3x3_reduce", features)),
            convolve(f"{name}/5x5", convolve(f"{name}/5x5_reduce", features)),
            convolve(f"{name}/pool_proj", functional.max_pool2d(features, 3, 1, 1)),
        ]
        features = torch.cat(branches, dim=1)
        if block in ("3b", "4e"):
            features = pool(features)
    weight, bias = blobs["loss3/classifier.weight"], blobs["loss3/classifier.bias"]
    return functional.linear(features.mean(dim=(2, 3)), weight, bias)


def test_same_scores_for_the_same_pixels(blobs: dict[str, Tensor], pixels: Tensor) -> None:
    with torch.inference_mode():
        expected = caffe_forward(blobs, pixels)
        logits = from_caffe(blobs)(our_input(pixels))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert 0.3 < expected.std() < 3  # neither too small for the tolerance nor too large for float32
    assert (expected[0] - expected[1]).abs().max() > 1e-2  # the two images differ


def test_parameters_are_those_of_the_published_network() -> None:
    """The file with 1,000 classes has this number of parameters."""
    network = GoogLeNet(1000, caffe_details=True)
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_998_552


def test_auxiliary_heads_are_left_out(blobs: dict[str, Tensor]) -> None:
    from_caffe({**blobs, "loss1/conv.weight": torch.zeros(128, 512, 1, 1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1/7x7_s2.weight": None}, "found no conv1/7x7_s2.weight"),
        ({"fire2/squeeze1x1.weight": torch.zeros(1)}, "cannot place fire2/squeeze1x1.weight"),
        ({"conv2/3x3.weight": torch.zeros(192, 64, 5, 5)}, r"conv2/3x3.weight: expected shape \[192, 64, 3, 3\]"),
    ],
)
def test_another_network_is_refused(blobs: dict[str, Tensor], change: dict[str, Tensor | None], message: str) -> None:
    changed = {name: blob for name, blob in {**blobs, **change}.items() if blob is not None}
    with pytest.raises(ValueError, match=message):
        from_caffe(changed)


def test_safetensors_with_the_names_of_caffe(blobs: dict[str, Tensor], pixels: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "googlenet.safetensors"
    save_file({name: blob.contiguous() for name, blob in blobs.items()}, path)
    with torch.inference_mode():
        loaded, expected = (network(our_input(pixels)) for network in (load_caffe(path), from_caffe(blobs)))
    torch.testing.assert_close(loaded, expected, atol=0, rtol=0)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"googlenet\.safetensors: expected a safetensors file"):
        load_caffe(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.caffemodel: expected a \.caffemodel: No such file"):
        load_caffe(tmp_path / "missing.caffemodel")


def test_normalisation_changes_nothing_where_there_was_none(blobs: dict[str, Tensor], pixels: Tensor) -> None:
    """The networks agree if the activations are so small that response normalisation changes nothing."""
    small = {name: blob / 1000 if name.startswith("conv1/") else blob for name, blob in blobs.items()}
    published = from_caffe(small)
    with torch.inference_mode():
        network = with_batch_norm(published, our_input(pixels))
        expected, logits = published(our_input(pixels)), network(our_input(pixels))
    assert network.can_quantise
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=0)
