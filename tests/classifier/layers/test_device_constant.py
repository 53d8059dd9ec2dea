from __future__ import annotations

import torch

from classifier.layers.device_constant import device_constant

CPU = torch.device("cpu")


def test_values_are_copied_once_for_each_device() -> None:
    values = ((1.0, 2.0), (3.0, 4.0))
    first = device_constant(values, CPU)
    assert first.tolist() == [[1, 2], [3, 4]]
    assert first.dtype == torch.float32
    assert device_constant(values, CPU) is first
    assert device_constant(values, torch.device("meta")).device.type == "meta"
    assert device_constant(values, CPU, torch.float64).dtype == torch.float64


def test_a_constant_created_in_inference_can_be_used_in_training() -> None:
    with torch.inference_mode():
        factors = device_constant((0.5, 1.5, 2.5), CPU)
    weights = torch.ones(3, requires_grad=True)
    (weights * factors).sum().backward()  # an inference tensor could not be kept for this
    assert weights.grad is not None
    assert weights.grad.tolist() == [0.5, 1.5, 2.5]
