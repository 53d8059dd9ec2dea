"""Tests that our network gives the same scores as torchvision's for the same pixels."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from classifier.googlenet import GoogLeNet
from classifier.training.initial_weights.torchvision_weights import INIT_ARGS, from_torchvision
from detection.runtime.pixels import MEAN_RGB, SCALE


@pytest.fixture(name="theirs", scope="module")
def random_torchvision() -> nn.Module:
    """Return torchvision's network as its ImageNet weights need it, with statistics other than the initial 0 and 1."""
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.GoogLeNet(transform_input=True, init_weights=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.2, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # so that every layer shows in the scores
    network.get_parameter("fc.weight").data.mul_(0.05)
    return network.eval()


@pytest.fixture(name="state")
def torchvision_state(theirs: nn.Module) -> dict[str, Tensor]:
    return dict(theirs.state_dict())


@pytest.fixture(name="ours", scope="module")
def our_network(theirs: nn.Module) -> nn.Module:
    network = GoogLeNet(1000, **INIT_ARGS)  # type: ignore[arg-type]
    network.load_state_dict(from_torchvision(theirs.state_dict()))
    return network.eval()


@pytest.mark.parametrize(("height", "width"), [(224, 224), (97, 160)])
def test_same_scores_for_the_same_pixels(theirs: nn.Module, ours: nn.Module, height: int, width: int) -> None:
    """Odd sizes show how the poolings round. torchvision normalises by ImageNet's mean and standard deviation."""
    pixels = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.inference_mode():
        expected = theirs((pixels / 255 - mean) / deviation)
        logits = ours((pixels - torch.tensor(MEAN_RGB).view(3, 1, 1)) * SCALE)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    assert 0.5 < expected.std() < 2  # neither too small for the tolerance nor too large for float32
    assert (expected[0] - expected[1]).abs().max() > 1e-2  # the pictures do differ


def test_parameters_are_those_of_torchvision(ours: nn.Module) -> None:
    """The number of parameters is the one that torchvision states with its weights."""
    assert sum(parameter.numel() for parameter in ours.parameters()) == 6_624_904
    assert torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1.meta["num_params"] == 6_624_904


def test_training_differs_in_nothing_either(ours: nn.Module) -> None:
    dropout = [module.p for module in ours.modules() if isinstance(module, nn.Dropout)]
    epsilons = {module.eps for module in ours.modules() if isinstance(module, nn.BatchNorm2d)}
    assert dropout == [0.2]
    assert epsilons == {1e-3}


def test_other_number_of_classes(state: dict[str, Tensor]) -> None:
    three = {**state, "fc.weight": state["fc.weight"][:3], "fc.bias": state["fc.bias"][:3]}
    network = GoogLeNet(3, **INIT_ARGS)  # type: ignore[arg-type]
    network.load_state_dict(from_torchvision(three))


def test_changes_nothing_of_its_input(state: dict[str, Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in state.items()}
    converted = from_torchvision(state)
    assert state.keys() == before.keys()
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert len(converted) == len([name for name in state if not name.startswith("aux")])


def test_auxiliary_heads_and_counts_may_be_missing(state: dict[str, Tensor], ours: nn.Module) -> None:
    old = {name: tensor for name, tensor in state.items() if "aux" not in name and "num_batches" not in name}
    converted = from_torchvision(old)
    assert converted.keys() == ours.state_dict().keys()
    assert converted["stem.0.1.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    "name",
    ["conv1.conv.weight", "inception4d.branch3.1.bn.running_var", "inception5b.branch4.1.conv.weight", "fc.bias"],
)
def test_missing_tensor_is_named(state: dict[str, Tensor], name: str) -> None:
    del state[name]
    with pytest.raises(ValueError, match=f"344 tensors of torchvision's googlenet, found no {name}"):
        from_torchvision(state)


def test_left_over_tensor_is_named(state: dict[str, Tensor]) -> None:
    state["conv1.conv.bias"] = torch.zeros(64)
    with pytest.raises(ValueError, match=r"cannot place conv1\.conv\.bias"):
        from_torchvision(state)


def test_shape_that_does_not_fit_is_named(state: dict[str, Tensor]) -> None:
    """The paper has a 5x5 kernel where torchvision has 3x3."""
    state["inception3a.branch3.1.conv.weight"] = torch.zeros(32, 16, 5, 5)
    reason = r"inception3a\.branch3\.1\.conv\.weight: expected shape \[32, 16, 3, 3\], got \[32, 16, 5, 5\]"
    with pytest.raises(ValueError, match=reason):
        from_torchvision(state)


@pytest.mark.parametrize("state", [{}, {"weight": torch.zeros(2)}], ids=["empty", "foreign"])
def test_nothing_of_torchvision(state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"found no conv1\.conv\.weight"):
        from_torchvision(state)
