from __future__ import annotations

import numpy as np

from detection.structures.object_sizes import size_classes


def test_boundary_is_the_smaller_size() -> None:
    areas = np.array([0, 32 * 32, 32 * 32 + 0.5, 96 * 96, 96 * 96 + 0.5])
    chosen = {name: np.flatnonzero(rows).tolist() for name, rows in size_classes(areas).items()}
    assert chosen == {"small": [0, 1], "medium": [2, 3], "large": [4]}
    assert [len(of_size) for of_size in size_classes(np.zeros(0)).values()] == [0, 0, 0]
