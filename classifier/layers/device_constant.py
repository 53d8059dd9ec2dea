"""Constants of formulas as tensors on the device where the formula is computed."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def device_constant(
    values: tuple[float, ...] | tuple[tuple[float, ...], ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return a tensor of `values`, created once for each device and type; callers must not change it.

    Copying the values at each call would make the host wait for the GPU each time.
    """
    with torch.inference_mode(mode=False):  # an inference tensor could not be used in training afterwards
        return torch.tensor(values, device=device, dtype=dtype)
