"""Functions that take NumPy arrays or tensors find out which they have, and return the same kind."""

from __future__ import annotations

import numpy as np
import torch

from detection.structures.arrays import as_kind_of, as_numpy, namespace


def test_arrays_stay_arrays() -> None:
    array = np.arange(3)
    assert namespace(array) is np
    assert as_numpy(array) is array
    assert as_kind_of(np.zeros(1), array) is array


def test_tensors_are_converted() -> None:
    tensor = torch.arange(3)
    assert namespace(tensor) is torch
    assert as_numpy(tensor).tolist() == [0, 1, 2]
    converted = as_kind_of(torch.zeros(1), np.arange(3, dtype=np.int64))
    assert torch.equal(converted, tensor)
