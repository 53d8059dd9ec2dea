"""An image with objects and proposals to draw regions from, for tests of `classifier.training.samples`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from classifier.training.samples.around_objects import sample_jittered
from classifier.training.samples.sampled_boxes import ObjectLists, Objects, SampledBoxes, even_quota
from detection.errors import InputError
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from detection.training.sample_order import RowNumbers, SampleKey

Size = tuple[int, int]

# 40 high, 120 wide. Two that overlap by a third (20 of 60 columns), one in the corner, one apart.
SIZE = (40, 120)
BOXES = as_boxes([(10, 5, 50, 35), (30, 5, 70, 35), (112, 30, 120, 40), (80, 2, 90, 12)])
LABELS = np.array([4, 7, 0, 7], np.int64)

# With ground truth 0 (40 x 30): shifted by 8 of 40 columns, IoU 32 / 48 = 2/3; by 20, 20 / 60 = 1/3.
# Of ground truth 3 (10 x 10) the left half: IoU 1/2, which is foreground.
PROPOSALS = as_boxes([(18, 5, 58, 35), (80, 2, 85, 12), (0, 0, 3, 3), (-10, 5, 30, 35)])


class Known(dict[str, Proposals]):
    """Proposals in memory, which replace a cache."""

    def require(self, records: Iterable[GroundTruth]) -> None:
        for record in records:
            if record.image_id not in self:
                raise InputError(f"memory: expected proposals of {record.image_id}")

    def boxes_of(self, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        boxes = [self[image_id].boxes for image_id in image_ids]
        return np.concatenate(boxes), np.array([len(image_boxes) for image_boxes in boxes])


def known(boxes: FloatArray, image_id: str = "a") -> Known:
    return Known({image_id: Proposals(boxes, np.zeros(len(boxes), np.float32))})


def single_image(boxes: FloatArray, labels: IntArray | None = None) -> Objects:
    return ObjectLists([boxes], [np.zeros(len(boxes), np.int64) if labels is None else labels])[np.array([0])]


def numbers_for(count: int, seed: int = 0) -> RowNumbers:
    return RowNumbers([SampleKey(0, 0, 0)], per_sample=count, seed=seed)


def jittered(
    boxes: FloatArray,
    labels: IntArray,
    size: Size,
    *,
    ignored: FloatArray | None = None,
    foreground: BoolArray,
    seed: int = 0,
) -> SampledBoxes:
    """Draw a region of one image for each entry of `foreground`."""
    rows = np.zeros(len(foreground), np.int64)
    return sample_jittered(
        single_image(boxes, labels).take(rows),
        np.array(size)[None].repeat(len(rows), axis=0),
        ignored=single_image(as_boxes([]) if ignored is None else ignored).take(rows),
        foreground=foreground,
        numbers=numbers_for(len(rows), seed),
    )


def quota_of(first: int, count: int, fraction: float) -> BoolArray:
    return even_quota(np.arange(first, first + count), fraction)


def assert_valid(regions: FloatArray, size: Size) -> None:
    """Check that boxes lie within the image and are at least one pixel wide and high, but for rounding in float32."""
    height, width = size
    assert (regions >= 0).all()
    assert (regions <= [width, height, width, height]).all()
    assert (regions[:, 2:] - regions[:, :2] > 1 - 1e-4).all()
