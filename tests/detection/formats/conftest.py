"""The split whose detections the tests read and write."""

from __future__ import annotations

import pytest

from detection.structures.split_columns import SplitObjects
from tests.detection.formats.detection_examples import ground_truth


@pytest.fixture(name="truth")
def example_ground_truth() -> SplitObjects:
    return ground_truth()
