"""Check that a GPU can run our Triton kernels."""

import importlib.util
import warnings
from functools import lru_cache

import torch

LEAST_CAPABILITY = (8, 0)
"""Compute capability of the first GPUs with bfloat16."""


@lru_cache
def runs_kernels(device: torch.device) -> bool:
    """True if the GPU is NVIDIA's and new enough, Triton is installed, and a kernel compiles and runs when tried."""
    if torch.version.cuda is None or importlib.util.find_spec("triton") is None:
        return False
    if torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        return False
    try:
        _try_kernel(device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(f"no kernels by Triton, which is slower: {error}", RuntimeWarning, stacklevel=2)
        return False
    return True


def _try_kernel(device: torch.device) -> None:
    from classifier.layers.gpu.kernels import response_norm  # noqa: PLC0415  imports Triton, which is only where there are GPUs

    with torch.cuda.device(device):
        response_norm(torch.zeros(1, 8, 1, 1, device=device)).cpu()
