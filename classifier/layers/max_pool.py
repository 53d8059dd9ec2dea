"""Max pooling that is also fast when a network is trained on a GPU."""

from typing import cast

import torch
from torch import Tensor, nn

from classifier.layers.gpu.triton_check import runs_kernels


class MaxPool(nn.MaxPool2d):
    """`nn.MaxPool2d` with square windows, which uses the kernels of `max_pool_training` in training on a GPU."""

    kernel_size: int
    stride: int
    padding: int

    def forward(self, features: Tensor) -> Tensor:
        trained_on_gpu = features.is_cuda and features.requires_grad and torch.is_grad_enabled()
        if not (trained_on_gpu and runs_kernels(features.device)):
            return cast(Tensor, super().forward(features))
        from classifier.layers.gpu.max_pool_training import max_pool_with_gradient  # noqa: PLC0415  imports Triton

        return max_pool_with_gradient(
            features, kernel=self.kernel_size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )
