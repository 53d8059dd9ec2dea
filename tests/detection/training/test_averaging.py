from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from detection.training.averaging import move_average


def test_average_by_hand() -> None:
    average = [torch.tensor([4.0, -8.0]), torch.tensor(3), torch.tensor([[2.0]])]
    move_average(average, [torch.tensor([0.0, 8.0]), torch.tensor(7), torch.tensor([[-2.0]])], left=0.75)
    # 3/4 x 4 + 1/4 x 0, 3/4 x -8 + 1/4 x 8; the count; 3/4 x 2 - 1/4 x 2
    assert [tensor.tolist() for tensor in average] == [[3.0, -4.0], 7, [[1.0]]]


def test_nothing_left_is_a_copy() -> None:
    average, current = [torch.tensor([0.1]), torch.tensor(1)], [torch.tensor([0.3]), torch.tensor(2)]
    move_average(average, current, left=0.0)
    assert average == current
    move_average([], [], left=0.5)


def test_different_networks_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="shorter"):
        move_average([torch.zeros(1)], [], left=0.5)


def test_average_is_pytorch_s_to_the_last_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to(memory_format=torch.channels_last)
    expected = AveragedModel(network, avg_fn=get_ema_avg_fn(0.9))
    average = [parameter.detach().clone() for parameter in network.parameters()]
    for step in range(4):
        for parameter in network.parameters():
            parameter.data += torch.randn_like(parameter)
        expected.update_parameters(network)
        move_average(average, [parameter.detach() for parameter in network.parameters()], left=0.9 if step else 0.0)
    assert all(map(torch.equal, average, expected.module.parameters()))
