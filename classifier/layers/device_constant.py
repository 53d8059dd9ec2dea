"""Constants of formulas, as tensors on whatever device the formula is computed."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def device_constant(
    values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A tensor of `values`, not to be changed, made once for each device.

    To copy them at each call would make the host wait for a GPU each time.
    """
    with torch.inference_mode(mode=False):  # or what detection makes first could not be used in training afterwards
        return torch.tensor(values, device=device, dtype=dtype)
