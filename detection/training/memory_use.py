"""The memory that a process takes. `detection.training.module` logs it: it should stay flat over the epochs."""

import os
import resource
import sys
from pathlib import Path

import torch

GIB = 2**30
STATM = Path("/proc/self/statm")


def memory_use(device: torch.device) -> dict[str, float]:
    """Return the memory of this process in GiB, by the names under which a run logs it.

    `memory_gib` is what is resident now (on Linux only) and `memory_peak_gib` the most since the process started. With
    a GPU there is also `gpu_memory_peak_gib`, the most that its tensors took.
    """
    use = {}
    if STATM.exists():
        use["memory_gib"] = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    use["memory_peak_gib"] = peak / (GIB if sys.platform == "darwin" else 2**20)  # bytes on macOS, else kilobytes
    if device.type == "cuda":
        use["gpu_memory_peak_gib"] = torch.cuda.max_memory_allocated(device) / GIB
    return use
