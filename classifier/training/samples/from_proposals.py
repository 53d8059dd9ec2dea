"""Regions to train on that are drawn from proposals and ground truth, as R-CNN does."""

import numpy as np

from classifier.training.samples.sampled_boxes import FOREGROUND_IOU, Objects, SampledBoxes, label_regions
from classifier.training.samples.streams import RandomStream
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import paired_iou
from detection.training.sample_order import RowNumbers


def sample_proposals(
    objects: Objects, proposals: FloatArray, counts: IntArray, *, foreground: BoolArray, numbers: RowNumbers
) -> SampledBoxes:
    """Draw R regions of each of n images from its proposals and its ground truth (arXiv 1311.2524, section 2.3).

    A proposal whose IoU with a ground truth is at least 0.5 stands for the ground truth that it overlaps most; the
    other proposals are background. The ground truth joins the proposals. If an image has no candidate of the wanted
    kind, foreground or background, one of the other kind is drawn.

    Args:
        objects: the objects of the n images.
        proposals: [P, 4] of all images, one image after the other.
        counts: [n], the number of proposals of each image.
        foreground: [n, R], True for regions that are to be foreground.
        numbers: the random numbers of the n x R regions.

    Raises:
        ValueError: if an image has neither proposals nor ground truth.
    """
    totals = objects.counts + counts
    if not totals.all():
        raise ValueError("expected proposals or ground truth to draw regions from, got none")
    candidates = _join(objects, proposals, counts)
    matched = _match(candidates, np.repeat(np.arange(len(totals)), totals), objects)
    images = np.repeat(np.arange(len(totals)), foreground.shape[1])
    starts = np.cumsum(totals) - totals
    # Among the candidates before the i-th, `before[True][i]` are foreground and `before[False][i]` background.
    foreground_before = np.concatenate([[0], np.cumsum(matched >= 0)])
    before = {True: foreground_before, False: np.arange(len(foreground_before)) - foreground_before}
    available = foreground_before[starts + totals] - foreground_before[starts]  # foreground candidates of each image
    wanted = np.where(foreground.ravel(), available[images] > 0, available[images] == totals[images])

    picked = np.empty(len(images), np.int64)
    share = numbers(RandomStream.CHOICES, 1)[:, 0]
    for kind in (True, False):
        rows = np.flatnonzero(wanted == kind)
        first = before[kind][starts[images[rows]]]
        count = before[kind][(starts + totals)[images[rows]]] - first
        picked[rows] = np.flatnonzero((matched >= 0) == kind)[first + (share[rows] * count).astype(np.int64)]
    return label_regions(candidates[picked], matched[picked], objects.take(images))


def _join(objects: Objects, proposals: FloatArray, counts: IntArray) -> FloatArray:
    """Return the ground truth and then the proposals of each image, one image after the other."""
    candidates = np.empty((objects.counts.sum() + len(proposals), 4), np.float32)
    own = objects.boxes[np.arange(objects.boxes.shape[1]) < objects.counts[:, None]]  # without the padding
    candidates[np.arange(len(own)) + np.repeat(np.cumsum(counts) - counts, objects.counts)] = own
    candidates[np.arange(len(proposals)) + np.repeat(np.cumsum(objects.counts), counts)] = proposals
    return candidates


def _match(boxes: FloatArray, images: IntArray, objects: Objects) -> IntArray:
    """Return the index of the object of its image that each box [P, 4] stands for, or -1 for background: [P]."""
    best = np.zeros(len(boxes), np.float32)
    matched = np.full(len(boxes), -1)
    for index in range(objects.boxes.shape[1]):  # all objects at once would take much memory in crowded images
        overlaps = paired_iou(boxes, objects.boxes[images, index])
        better = overlaps > best
        matched[better] = index
        best[better] = overlaps[better]
    return np.where(best >= FOREGROUND_IOU, matched, -1)
