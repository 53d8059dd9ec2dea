"""Weights files: saving and loading gives the same network, and files that cannot be used are named."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from classifier.scoring.description import METADATA_KEY, SHIPPED, NetworkDescription, find_weights
from classifier.scoring.weights_file import load_region_network, load_weights, save_weights
from detection.errors import InputError
from detection.runtime.weights_files.tensor_file import Storage

DESCRIPTION = NetworkDescription(
    class_path="classifier.googlenet.GoogLeNet",
    init_args={"batch_norm": True, "stem_stride": 4, "width_multiplier": 0.125},
    class_names=("cat", "dog"),
    input_size=32,
    context=2,
    training={"seed": 3},
)


@pytest.fixture(name="network")
def random_network() -> nn.Module:
    torch.manual_seed(0)
    return DESCRIPTION.build().eval()


@pytest.fixture(name="path")
def saved_weights(network: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "net.safetensors"
    save_weights(path, network, DESCRIPTION)
    return path


def test_round_trip(network: nn.Module, path: Path) -> None:
    loaded, description = load_weights(path)
    assert description == DESCRIPTION
    assert not loaded.training
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), network(images), atol=1e-2, rtol=1e-2)  # half precision


def test_half_precision_on_disk_full_precision_in_memory(path: Path) -> None:
    assert load_file(path)["linear.weight"].dtype == torch.float16
    assert {parameter.dtype for parameter in load_weights(path)[0].parameters()} == {torch.float32}


REFINING = replace(DESCRIPTION, head="svm", box_regression=True)


@pytest.fixture(name="refining_path")
def saved_weights_with_heads(tmp_path: Path) -> Path:
    """A file with SVMs and a head for boxes, all random."""
    torch.manual_seed(1)
    network = REFINING.build_region_network()
    assert network.box_head is not None
    torch.nn.init.normal_(network.box_head.weight, std=0.001)
    save_weights(tmp_path / "refining.safetensors", network, REFINING)
    return tmp_path / "refining.safetensors"


def test_round_trip_of_heads(refining_path: Path) -> None:
    network, description = load_region_network(refining_path)
    assert description == REFINING
    assert not network.training
    torch.manual_seed(1)
    saved = REFINING.build_region_network().eval()
    torch.nn.init.normal_(saved.box_head.weight, std=0.001)  # type: ignore[union-attr]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        actual, expected = network(images), saved(images)
    assert actual.logits.shape == (2, 2)  # one margin a class, none for background
    assert actual.deltas.shape == (2, 2, 4)
    torch.testing.assert_close(actual.logits, expected.logits, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(actual.deltas, expected.deltas, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("stored_as", ["float16", "int8"])
def test_round_trip_of_a_grid(stored_as: Storage, tmp_path: Path) -> None:
    wanted = replace(DESCRIPTION, box_regression=True, box_grid=3)
    torch.manual_seed(1)
    saved = wanted.build_region_network().eval()
    torch.nn.init.normal_(saved.box_grid.last.weight, std=0.1)  # type: ignore[union-attr]
    save_weights(tmp_path / "grid.safetensors", saved, wanted, stored_as=stored_as)
    network, description = load_region_network(tmp_path / "grid.safetensors")
    assert description == wanted
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        deltas, expected = network(images).deltas, saved(images).deltas
    assert expected.std() > 0.01
    torch.testing.assert_close(deltas, expected, atol=0.1 * expected.std().item(), rtol=0)


@pytest.mark.parametrize("box_grid", [0, -1, 1001])
def test_grid_out_of_range(box_grid: int) -> None:
    with pytest.raises(ValueError, match=r"^box_grid must lie in 1-1000"):
        replace(DESCRIPTION, box_regression=True, box_grid=box_grid)


def test_tensors_of_the_trunk_have_the_same_names_with_and_without_heads(refining_path: Path, path: Path) -> None:
    assert load_file(refining_path).keys() - load_file(path).keys() == {"box_head.weight", "box_head.bias"}
    assert load_file(path).keys() <= load_file(refining_path).keys()


def test_load_weights_returns_the_trunk_alone(refining_path: Path) -> None:
    network, _ = load_weights(refining_path)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert not any(name.startswith("box_head") for name in network.state_dict())


def test_old_files_without_heads_load(path: Path) -> None:
    fields = asdict(DESCRIPTION)
    del fields["head"], fields["box_regression"], fields["box_grid"]
    save_file(load_file(path), path, metadata={METADATA_KEY: json.dumps(fields)})
    network, description = load_region_network(path)
    assert description == DESCRIPTION
    assert network.box_head is None


@pytest.mark.parametrize(
    ("name", "size", "refines"),
    [
        *((f"tiny_imagenet{number}", 64, True) for number in ("", "_2", "_3", "_4", "_5", "_6")),
        ("tiny_imagenet_lead", 48, True),
        ("tiny_imagenet_pretrained", 64, False),
    ],
)
def test_shipped_weights_load(name: str, size: int, refines: bool) -> None:
    path = find_weights(f"{name}.safetensors")
    folder = SHIPPED if name == "tiny_imagenet_pretrained" else SHIPPED / "tiny_imagenet"  # names do not have folders
    assert path == folder / f"{name}.safetensors"
    network, description = load_region_network(path)
    assert (description.head, description.num_outputs, description.input_size) == ("softmax", 201, size)
    assert description.box_regression == refines
    with torch.inference_mode():
        outputs = network(torch.zeros(1, 3, size, size))
    assert outputs.logits.shape == (1, 201)
    assert (outputs.deltas is not None) == refines


def test_loading_draws_no_random_numbers(path: Path) -> None:
    before = torch.get_rng_state()
    load_weights(path)

    assert torch.equal(torch.get_rng_state(), before)


def test_other_names_are_paths(tmp_path: Path) -> None:
    assert find_weights(str(tmp_path / "own.safetensors")) == tmp_path / "own.safetensors"


def test_unknown_head() -> None:
    with pytest.raises(ValueError, match="head must be one of softmax, svm, got tree"):
        replace(DESCRIPTION, head="tree")  # type: ignore[arg-type]


@pytest.mark.parametrize("context", [-1, 16, float("nan")])
def test_context_without_room_for_a_box(context: int) -> None:
    assert replace(DESCRIPTION, input_size=32, context=15).context == 15
    with pytest.raises(
        ValueError, match=f"context must be at least 0 and less than half of input_size 32, got {context}"
    ):
        replace(DESCRIPTION, input_size=32, context=context)


def test_file_with_an_unknown_head(path: Path) -> None:
    fields = asdict(DESCRIPTION) | {"head": "tree"}
    save_file(load_file(path), path, metadata={METADATA_KEY: json.dumps(fields)})
    assert_refused(path, "head must be one of softmax, svm, got tree")


def test_value_too_large_for_half_precision_survives(network: nn.Module, tmp_path: Path) -> None:
    """Half precision ends at 65504."""
    statistics = network.get_buffer("stem.0.1.running_var")
    statistics[:2] = torch.tensor([65504.0, 70000.0])
    save_weights(tmp_path / "net.safetensors", network, DESCRIPTION)
    loaded = load_weights(tmp_path / "net.safetensors")[0]
    assert torch.equal(loaded.get_buffer("stem.0.1.running_var"), statistics)


def assert_refused(path: Path, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        load_weights(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.safetensors", "no such weights file")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x80\x02}q\x00."])
def test_broken_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    assert_refused(path, "expected safetensors")


def test_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    assert_refused(path, "expected safetensors")


def test_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert_refused(path, f"found no '{METADATA_KEY}'")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (replace(DESCRIPTION, class_names=("cat", "dog", "cow")), "fit their description"),
        (replace(DESCRIPTION, init_args={"batch_norm": False}), "fit their description"),
        (replace(DESCRIPTION, init_args={"nonsense": 1}), "nonsense"),
        (replace(DESCRIPTION, head="svm"), "fit their description"),
        (replace(DESCRIPTION, box_regression=True), "fit their description"),
        (replace(DESCRIPTION, class_path="os.system"), "expected a network of the package classifier, got os.system"),
        (replace(DESCRIPTION, class_path="classifier.googlenet.Nothing"), "Nothing"),
        (replace(DESCRIPTION, init_args={"width_multiplier": float("inf")}), "cannot convert float infinity"),
        (replace(DESCRIPTION, class_path={}), "expected a network of the package classifier, got {}"),  # type: ignore[arg-type]
        (
            replace(DESCRIPTION, class_path="classifier.scoring.weights_file.load_weights"),
            "cannot build|expected a network",
        ),
    ],
)
def test_description_that_does_not_fit(path: Path, description: NetworkDescription, reason: str) -> None:
    save_file(load_file(path), path, metadata={METADATA_KEY: json.dumps(asdict(description))})
    assert_refused(path, reason)


@pytest.mark.parametrize("metadata", ["no json", "[]", "{}", '{"class_names": []}'])
def test_malformed_description(path: Path, metadata: str) -> None:
    save_file(load_file(path), path, metadata={METADATA_KEY: metadata})
    assert_refused(path, "fit their description")


def test_int8_is_half_as_large_and_nearly_the_same(network: nn.Module, tmp_path: Path) -> None:
    half, quarter = tmp_path / "float16.safetensors", tmp_path / "int8.safetensors"
    save_weights(half, network, DESCRIPTION)
    save_weights(quarter, network, DESCRIPTION, stored_as="int8")
    assert quarter.stat().st_size < 0.75 * half.stat().st_size  # names and scales weigh much in so small a network
    restored = load_weights(quarter)[0].state_dict()
    for name, value in network.state_dict().items():
        if value.ndim < 2:
            torch.testing.assert_close(restored[name], value, rtol=1e-3, atol=1e-6)
            continue
        step = value.flatten(1).abs().amax(dim=1) / 127  # of each output channel
        assert ((restored[name] - value).flatten(1).abs() <= 0.5001 * step.unsqueeze(1)).all()


def test_int8_keeps_channels_without_weights_and_what_cannot_be_scaled(network: nn.Module, tmp_path: Path) -> None:
    weight = network.get_parameter("linear.weight")
    with torch.no_grad():
        weight[0] = 0
        network.get_parameter("stem.3.0.weight")[0, 0] = torch.inf
    path = tmp_path / "w.safetensors"
    save_weights(path, network, DESCRIPTION, stored_as="int8")
    stored = load_file(path)
    assert stored["linear.weight"].dtype == torch.int8
    assert stored["stem.3.0.weight"].dtype == torch.float16
    assert (load_weights(path)[0].state_dict()["linear.weight"][0] == 0).all()
