from __future__ import annotations

import numpy as np
import pytest
import torch

from detection.training.memory_use import STATM, memory_use


@pytest.mark.skipif(not STATM.exists(), reason="only Linux tells the memory of the moment")
def test_memory_of_the_moment_and_at_most() -> None:
    before = memory_use(torch.device("cpu"))
    block = np.ones(2**28, np.uint8)  # a quarter of a GiB
    during = memory_use(torch.device("cpu"))
    del block
    after = memory_use(torch.device("cpu"))
    assert during["memory_gib"] - before["memory_gib"] == pytest.approx(0.25, abs=0.02)
    assert during["memory_gib"] - after["memory_gib"] == pytest.approx(0.25, abs=0.02)
    for use in (before, during, after):
        assert use["memory_gib"] <= use["memory_peak_gib"] + 1e-3
    assert after["memory_peak_gib"] >= during["memory_gib"] - 1e-3
