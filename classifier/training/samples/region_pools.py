"""Regions to train on in which all objects of an image come equally often, however many proposals they have.

R-CNN (arXiv 1311.2524, section 2.3) draws from all proposals at once. In a photograph of a large sofa and a cup, nearly
all foreground is then sofa, and nearly all background is far from any object. `EvenSamples` draws an object first and
then one of its proposals, and takes half of the background from proposals that overlap an object a little, as Fast
R-CNN does (arXiv 1504.08083, section 2.3), because these are the regions that detectors get wrong most often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.training.samples.region_samples import ObjectSamples
from classifier.training.samples.sampled_boxes import FOREGROUND_IOU, SampledBoxes, even_quota
from classifier.training.samples.streams import RandomStream
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import box_iou
from detection.structures.contracts import CachedProposals
from detection.structures.ground_truth import GroundTruth
from detection.training.sample_order import RowNumbers, SampleKey

NEAR_IOU = 0.1
"""Smallest IoU with an object at which background is near it."""

NEAR_SHARE = 0.5
"""Share of the background that is near objects."""

NUMBERS = 2
"""The number of random numbers that are drawn for a region."""


class RegionPool(NamedTuple):
    """The regions of an image that can be drawn, sorted into groups.

    There is a group for each of the K objects that have regions, then one for the background near objects, and one for
    the other background.

    `boxes` [Q, 4] xyxy, group after group; `ends` [K + 2], where each group ends; `labels` [K], 0-based, and `targets`
    [K, 4] of the objects.
    """

    boxes: FloatArray
    ends: IntArray
    labels: IntArray
    targets: FloatArray

    def draw(self, foreground: BoolArray, numbers: NDArray[np.float64]) -> SampledBoxes:
        """Draw R regions; where the image has only foreground or only background, all regions are of that kind.

        Args:
            foreground: [R], True for regions that are to be foreground.
            numbers: [R, NUMBERS], uniform random numbers in 0-1.
        """
        groups = self._groups(foreground, numbers[:, 0])
        starts = np.concatenate([[0], self.ends[:-1]])
        picked = starts[groups] + (numbers[:, 1] * (self.ends - starts)[groups]).astype(np.int64)
        is_object = groups < len(self.labels)
        boxes, targets, labels = self.boxes[picked], self.boxes[picked].copy(), np.zeros(len(picked), np.int64)
        targets[is_object] = self.targets[groups[is_object]]
        labels[is_object] = self.labels[groups[is_object]] + 1
        return SampledBoxes(boxes, labels, targets)

    def _groups(self, foreground: BoolArray, numbers: NDArray[np.float64]) -> IntArray:
        """Return the index of the group that each region is drawn from [R], by uniform numbers [R]."""
        objects = len(self.labels)
        has_near, has_others = (np.diff(self.ends, prepend=0)[objects:] > 0).tolist()
        if not has_near and not has_others:
            foreground = np.ones_like(foreground)
        elif not objects:
            foreground = np.zeros_like(foreground)
        is_near = (numbers < NEAR_SHARE) & has_near | (not has_others)
        background = np.where(is_near, objects, objects + 1)
        groups: IntArray = np.where(foreground, (numbers * objects).astype(np.int64), background)
        return groups


def build_pool(record: GroundTruth, proposals: FloatArray) -> RegionPool:
    """Sort the proposals [P, 4] of an image and its ground truth into groups.

    A proposal whose IoU with an object is at least 0.5 belongs to the object that it overlaps most. A proposal that
    overlaps an ignored object by as much, and no other object, is left out.

    Raises:
        ValueError: if there is neither a proposal nor an object.
    """
    objects, labels = record.boxes[~record.ignored], record.labels[~record.ignored]
    boxes = np.concatenate([objects, proposals]).astype(np.float32)
    overlaps = _overlaps(boxes, objects)
    best, matched = overlaps.max(axis=1), overlaps.argmax(axis=1)
    ignored = _overlaps(boxes, record.boxes[record.ignored]).max(axis=1) >= FOREGROUND_IOU
    groups = np.where(best >= NEAR_IOU, len(objects), len(objects) + 1)
    groups = np.where(best >= FOREGROUND_IOU, matched, groups)
    kept = (best >= FOREGROUND_IOU) | ~ignored
    if not kept.any():
        raise ValueError(f"{record.path}: expected proposals or ground truth to draw regions from, got none")
    boxes, groups = boxes[kept], groups[kept]
    counts = np.bincount(groups, minlength=len(objects) + 2)
    has_regions = counts[: len(objects)] > 0  # False if another object overlaps all boxes of this one more
    ends = np.cumsum(counts)[np.append(has_regions, [True, True])]
    return RegionPool(boxes[np.argsort(groups, kind="stable")], ends, labels[has_regions], objects[has_regions])


def _overlaps(boxes: FloatArray, objects: FloatArray) -> FloatArray:
    """Return the IoU of boxes [N, 4] with objects [M, 4], and a last column of zeros, so that it is never empty."""
    overlaps: FloatArray = np.zeros((len(boxes), len(objects) + 1), np.float32)
    if len(objects):
        overlaps[:, :-1] = box_iou(boxes, objects)
    return overlaps


@dataclass(kw_only=True, eq=False)
class EvenSamples(ObjectSamples):
    """Regions of images with ground truth and proposals, in which all objects of an image come equally often.

    The arguments are those of `ObjectSamples`, but `proposals` are required.
    """

    proposals: CachedProposals

    def draw(self, keys: Sequence[SampleKey], sizes: IntArray, numbers: RowNumbers) -> SampledBoxes:
        places = np.array([key.position for key in keys])[:, None] * self.per_image + np.arange(self.per_image)
        foreground = even_quota(places, self.foreground_fraction)  # [n, R]
        drawn = numbers(RandomStream.POOLS, NUMBERS).reshape(len(keys), self.per_image, NUMBERS)
        regions = [
            self._pool(self.records[key.record], size).draw(*image_draws)
            for key, size, *image_draws in zip(keys, sizes.tolist(), foreground, drawn, strict=True)
        ]
        return SampledBoxes(*(np.concatenate(parts) for parts in zip(*regions, strict=True)))

    def _pool(self, record: GroundTruth, size: list[int]) -> RegionPool:
        """Return the pool of an image of `size` [height, width].

        Decoding the image takes several times as long, and the pools of a large data set would not fit into memory.
        """
        boxes, _ = self.proposals.boxes_of([record.image_id])
        limits = np.array([size[1], size[0]] * 2, np.float32)
        return build_pool(record, np.clip(boxes, 0, limits))
