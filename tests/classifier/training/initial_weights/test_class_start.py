"""The class layer and the box head that a trained network gets for other classes."""

from pathlib import Path

import pytest
import torch

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_region_network, save_weights
from classifier.training.initial_weights.class_start import start_for_classes
from detection.errors import InputError

TRAINED = ("Cat", "dog")


def write_network(path: Path, **changes: object) -> None:
    """Write a small network of cats and dogs."""
    arguments = {"width_multiplier": 0.125, "batch_norm": True}
    fields = {"class_names": TRAINED, "input_size": 32, "context": 2, "box_regression": True} | changes
    description = NetworkDescription("classifier.googlenet.GoogLeNet", arguments, **fields)  # type: ignore[arg-type]
    torch.manual_seed(1)
    network = description.build_region_network()
    if network.box_head is not None:
        torch.nn.init.normal_(network.box_head.weight)
        torch.nn.init.normal_(network.box_head.bias)
    if network.box_grid is not None:
        torch.nn.init.normal_(network.box_grid.last.weight)
    save_weights(path, network, description)


@pytest.mark.parametrize("box_grid", [None, 2])
def test_known_classes_keep_their_rows_and_others_start_with_the_mean(box_grid: int | None, tmp_path: Path) -> None:
    path = tmp_path / "trained.safetensors"
    write_network(path, box_grid=box_grid)
    trained, _ = load_region_network(path)  # as it was rounded in the file
    network, description = start_for_classes(path, ["zebra", "cat", "yak"])
    assert description.class_names == ("zebra", "cat", "yak")
    source, target = (part.get_parameter("trunk.linear.weight") for part in (trained, network))
    mean = source[1:].mean(dim=0)
    torch.testing.assert_close(target, torch.stack([source[0], mean, source[1], mean]))
    layer = "box_head" if box_grid is None else "box_grid.last"
    rows = trained.get_parameter(f"{layer}.weight").unflatten(0, (2, 4))
    expected = torch.stack([rows.mean(dim=0), rows[0], rows.mean(dim=0)]).flatten(0, 1)
    torch.testing.assert_close(network.get_parameter(f"{layer}.weight"), expected)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(network.eval().features(image), trained.features(image))


@pytest.mark.parametrize("changes", [{"background": False}, {"head": "svm"}, {"box_regression": False}])
def test_other_kinds_of_networks(changes: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "trained.safetensors"
    write_network(path, **changes)
    with pytest.raises(InputError, match=f"{path}: expected a network with background, softmax and refined boxes"):
        start_for_classes(path, ["yak"])
