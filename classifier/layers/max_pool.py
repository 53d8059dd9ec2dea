"""Max pooling that is also fast where a GPU learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaxPool(nn.MaxPool2d):
    """`nn.MaxPool2d` of a square; in training on a GPU by the kernels of `max_pool_training`, if they run."""

    kernel_size: int
    stride: int
    padding: int

    def forward(self, features: Tensor) -> Tensor:
        if not _learns_by_kernels(features):
            pooled: Tensor = super().forward(features)
            return pooled
        from classifier.layers.gpu.max_pool_training import learning_max_pool  # noqa: PLC0415  Triton is only where there are GPUs

        return learning_max_pool(
            features, kernel=self.kernel_size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )


def _learns_by_kernels(features: Tensor) -> bool:
    if not (features.is_cuda and features.requires_grad and torch.is_grad_enabled()):
        return False
    from classifier.scoring.execution import runs_kernels  # noqa: PLC0415  which knows the networks that are made of this

    return runs_kernels(features.device)
