from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.train.runs.memory_use import STATM, memory_use

# Lightning's own remarks on small runs.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")


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


@pytest.mark.skipif(not STATM.exists(), reason="only Linux tells the memory of the moment")
def test_runs_log_it_with_each_loss(uninterrupted: Path, logged: Callable[[Path, str], list[float]]) -> None:
    memory, peaks = (logged(uninterrupted, name) for name in ("memory_gib", "memory_peak_gib"))
    assert len(memory) == len(peaks) == len(logged(uninterrupted, "train_loss")) == 30
    assert min(memory) > 0.05
    assert peaks == sorted(peaks)
