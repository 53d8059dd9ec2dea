"""Score regions by one network or several: the code behind `RegionClassifier` and `Ensemble`.

`score_regions` divides the regions of all images into groups. `score_in_turn` takes a group through the networks of a
`Cascade`: each one scores the regions, and only those that may become detections go on to the next one. They compute
with tensors or NumPy arrays, as the networks do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.box_deltas import decode_boxes
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.warp.crop import ImageRegions, upload
from detection.errors import InputError
from detection.structures.arrays import AnyArray, FloatArray, Image, as_kind_of, as_numpy, namespace
from detection.structures.boxes import snap_boxes
from detection.structures.contracts import RegionScores

STEPS_PER_PIXEL = 4
"""Refined boxes are rounded to this many steps per pixel before the next network looks at them; see `snap_boxes`."""

REGION_BYTES = 1 << 28
"""Limit of the memory of warped regions on a CPU: in float32 5,461 regions of 64 pixels, or 434 of 227; in int8 four
times as many. All regions of a photo should fit, so that those that pass a cascade share batches."""

GPU_REGION_BYTES = 1 << 30
"""The same limit on a GPU: 1,783 regions of 224 pixels."""


@dataclass(frozen=True)
class Views:
    """The views of a region over which the scores of a network are averaged.

    Attributes:
        mirror: also score the mirror image of each region.
        scales: score windows about the region whose sides are these multiples of its sides. A network that refines
            boxes refines each window as if it were the region.

    Raises:
        ValueError: if there are no scales, or one is not positive and finite.
    """

    mirror: bool = False
    scales: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales must be positive numbers, at least one, got {list(self.scales)}")


@dataclass(frozen=True)
class Cascade:
    """Networks that score regions one after the other, and what decides which regions each of them scores.

    Probabilities are averaged over the networks, and refined boxes over the networks that refine boxes.

    Attributes:
        networks: networks of the same classes, on the same device.
        views: the views of each region over which the scores of a network are averaged.
        weights: the weight of each network in the means, above 0; by default all have the same.
        thresholds: the least `cascade_confidence` with which a region goes on to the next network. There is a threshold
            for each of the first networks, but none for the last. A region that stops keeps the mean of the networks
            that have scored it. Without thresholds, all networks score all regions.
        follow_boxes: after a threshold, score the refined box of each region's likeliest class in place of the region,
            if the networks before the threshold refine boxes.
    """

    networks: Sequence[LoadedNetwork]
    _: KW_ONLY
    views: Views = Views()
    weights: Sequence[float] | None = None
    thresholds: Sequence[float] = ()
    follow_boxes: bool = False


class Scores(NamedTuple):
    """`probabilities` [N, C + 1] of N regions, and refined `boxes` [N, C, 4] or None, both on the device."""

    probabilities: AnyArray
    boxes: AnyArray | None

    def select(self, rows: AnyArray) -> Scores:
        """Return the scores of the regions where `rows` [N] is True."""
        return Scores(self.probabilities[rows], None if self.boxes is None else self.boxes[rows])


def score_regions(cascade: Cascade, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
    """Return the mean scores of the networks for the regions `boxes[i]` [N, 4] of each image `images[i]` [H, W, 3].

    The regions of all images share batches.

    Raises:
        InputError: if the memory of the device is too small for a single region, or a score is nan or infinite.
        DeviceError: if the GPU stopped responding.
    """
    if not images:
        return []
    scores = [merge_stages(stages, group) for group, stages in score_groups(cascade, images, boxes)]
    return split_by_image(cascade, scores, boxes)


def score_groups(
    cascade: Cascade, images: Sequence[Image], boxes: Sequence[FloatArray]
) -> Iterator[tuple[list[ImageRegions], list[tuple[AnyArray, Scores]]]]:
    """Yield the groups of `group_regions`, each with its stages; see `score_in_turn`. Errors are those of the session.

    The session of the networks lasts as long as the iteration.
    """
    cascade = order_for_sharing(cascade)
    with cascade.networks[0].session():
        for group in group_regions(cascade, images, boxes):
            yield group, score_in_turn(cascade, group)


def cascade_confidence(probabilities: AnyArray) -> AnyArray:
    """Return the confidence that regions with these probabilities [N, C + 1] become detections: [N], 0-1.

    This is a geometric mean (our choice) of the probability of the best class, which counts twice, and of that of all
    classes together. The latter tells objects whose class is uncertain from background.
    """
    best = namespace(probabilities).amax(probabilities[:, 1:], axis=1)
    return (best**2 * (1 - probabilities[:, 0])) ** (1 / 3)


def score_in_turn(cascade: Cascade, group: Sequence[ImageRegions]) -> list[tuple[AnyArray, Scores]]:
    """Score the regions of a group by one network after the other.

    Returns:
        A pair for each threshold, and then one for the last network: the indices of the regions that reached this
        stage, and the mean scores that the networks up to it give these regions.
    """
    stages = []
    rows: AnyArray | None = None  # all regions
    network_scores: list[Scores] = []  # of each network so far, for the regions in `rows`
    input_format = None
    for position, network in enumerate(cascade.networks):
        if network.input_format != input_format:
            input_format = network.input_format
            inputs = [input_format.warp([regions.scaled(scale) for regions in group]) for scale in cascade.views.scales]
        network_scores.append(_score(network, inputs, group, cascade.views))
        if rows is None:
            rows = as_kind_of(network_scores[0].probabilities, np.arange(sum(map(len, group))))
        if position < len(cascade.thresholds):
            mean = _mean(network_scores, cascade.weights)
            stages.append((rows, mean))
            passed = cascade_confidence(mean.probabilities) >= cascade.thresholds[position]
            rows, group = rows[passed], _select(group, passed)
            inputs = [scaled[passed] for scaled in inputs]
            network_scores = [scores.select(passed) for scores in network_scores]
            if cascade.follow_boxes and mean.boxes is not None:
                group, input_format = _move(group, _likeliest_boxes(mean.select(passed))), None
    return [*stages, (rows, _mean(network_scores, cascade.weights))]


def order_for_sharing(cascade: Cascade) -> Cascade:
    """Sort the networks after the thresholds so that equal input formats follow each other; weights stay with them."""
    networks, first = cascade.networks, len(cascade.thresholds)
    formats = [network.input_format for network in networks]
    rest = sorted(range(first, len(networks)), key=lambda position: formats.index(formats[position], first))
    order = [*range(first), *rest]
    weights = None if cascade.weights is None else [cascade.weights[position] for position in order]
    return replace(cascade, networks=[networks[position] for position in order], weights=weights)


def group_regions(
    cascade: Cascade, images: Sequence[Image], boxes: Sequence[FloatArray]
) -> Iterator[list[ImageRegions]]:
    """Divide the regions of all images, in order, into groups whose warped regions fit into the memory limit.

    A group holds whole batches. It consists of parts of one image each; an image without regions is an empty part.
    """
    device, batch_size = cascade.networks[0].device, cascade.networks[0].batch_size
    bytes_each = len(cascade.views.scales) * max(network.input_format.region_bytes for network in cascade.networks)
    limit = REGION_BYTES if device.type == "cpu" else GPU_REGION_BYTES
    at_once = max(1, limit // bytes_each // batch_size) * batch_size
    group: list[ImageRegions] = []
    room = at_once
    for image, image_boxes in zip(images, boxes, strict=True):
        rest = upload(image, image_boxes, device)
        while len(rest) > room:
            yield [*group, rest[:room]]
            rest, group, room = rest[room:], [], at_once
        group.append(rest)
        room -= len(rest)
    yield group


def merge_stages(stages: Sequence[tuple[AnyArray, Scores]], group: Sequence[ImageRegions]) -> Scores:
    """Return the scores of all regions of a group. A region has those of the last stage that it reached.

    If only later stages refine boxes, a region that did not reach them stays as it is, for all classes.
    """
    (_, merged), *later = stages
    for rows, scores in later:
        boxes = merged.boxes
        if scores.boxes is not None:
            if boxes is None:
                regions = as_kind_of(scores.boxes, np.concatenate([regions.boxes for regions in group]))
                shape = (len(regions), *scores.boxes.shape[1:])
                boxes = namespace(regions).broadcast_to(regions[:, None], shape)
            boxes = _with_rows(boxes, rows, scores.boxes)
        merged = Scores(_with_rows(merged.probabilities, rows, scores.probabilities), boxes)
    return merged


def _with_rows(array: AnyArray, rows: AnyArray, values: AnyArray) -> AnyArray:
    """Return a copy of an array in which `values` are the rows with the indices `rows`."""
    copy = namespace(array).empty_like(array)
    copy[:] = array
    copy[rows] = values
    return copy


def split_by_image(cascade: Cascade, groups: Sequence[Scores], boxes: Sequence[FloatArray]) -> list[RegionScores]:
    """Return the scores of each image, from those of all groups; `boxes` are the regions of each image.

    Raises:
        InputError: naming the files of the networks, if a score or a refined box is nan or infinite.
    """
    ends = np.cumsum([len(image_boxes) for image_boxes in boxes])[:-1]
    columns = [np.concatenate([as_numpy(scores.probabilities) for scores in groups])]
    refined = [as_numpy(scores.boxes) for scores in groups if scores.boxes is not None]
    if refined:
        columns.append(np.concatenate(refined))
    if not all(np.isfinite(column).all() for column in columns):
        files = ", ".join(dict.fromkeys(str(network.path) for network in cascade.networks))
        raise InputError(f"{files}: expected weights that give finite scores and boxes, got nan or infinity")
    return [RegionScores(*parts) for parts in zip(*(np.split(column, ends) for column in columns), strict=True)]


def _score(network: LoadedNetwork, inputs: Sequence[AnyArray], group: Sequence[ImageRegions], views: Views) -> Scores:
    """Return the mean scores of a network over all views of regions, which `inputs` holds at each scale."""
    view_scores = []
    for scale, scaled_inputs in zip(views.scales, inputs, strict=True):
        regions = [part.scaled(scale) for part in group]
        for mirrored in (False, True) if views.mirror else (False,):
            outputs = network.outputs(scaled_inputs, mirrored=mirrored)
            boxes = None if outputs.deltas is None else _decode(outputs.deltas, regions)
            view_scores.append(Scores(network.probabilities(outputs.logits), boxes))
    return _mean(view_scores)


def _mean(parts: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """Return the means of all probabilities, in 0-1 in spite of rounding, and of the boxes where there are any.

    There may be more weights than parts; then the first weights are used. Without weights, all parts have the same.
    """
    weighted = list(zip(parts, weights or [1.0] * len(parts), strict=False))
    refined = [(scores.boxes, weight) for scores, weight in weighted if scores.boxes is not None]
    probabilities = _weighted_mean([(scores.probabilities, weight) for scores, weight in weighted])
    return Scores(probabilities.clip(0, 1), _weighted_mean(refined) if refined else None)


def _weighted_mean(parts: Sequence[tuple[AnyArray, float]]) -> AnyArray:
    """Return the mean of arrays of the same shape with these weights."""
    weighted = [value * weight for value, weight in parts]
    total = namespace(weighted[0]).stack(weighted).sum(axis=0)
    return total / sum(weight for _, weight in parts)


def _select(group: Sequence[ImageRegions], rows: AnyArray) -> list[ImageRegions]:
    """Return the regions of a group where `rows` [N] is True."""
    return [regions[part] for regions, part in zip(group, _split(as_numpy(rows), group), strict=True)]


def _split(values: NDArray[Any], group: Sequence[ImageRegions]) -> list[NDArray[Any]]:
    """Return the values [N, ...] of the regions of each image."""
    return np.split(values, np.cumsum([len(regions) for regions in group])[:-1])


def _likeliest_boxes(scores: Scores) -> AnyArray:
    """Return the refined box of the likeliest class of each of N regions: [N, 4]."""
    assert scores.boxes is not None
    likeliest = scores.probabilities[:, 1:].argmax(axis=1)
    return scores.boxes[as_kind_of(likeliest, np.arange(len(likeliest))), likeliest]


def _move(group: Sequence[ImageRegions], boxes: AnyArray) -> list[ImageRegions]:
    """Return the regions of a group with the boxes [N, 4] in place of their own, rounded to `STEPS_PER_PIXEL`."""
    parts = _split(snap_boxes(as_numpy(boxes), STEPS_PER_PIXEL), group)
    return [regions.moved_to(part) for regions, part in zip(group, parts, strict=True)]


def _decode(deltas: AnyArray, group: Sequence[ImageRegions]) -> AnyArray:
    """Return the refined boxes [N, C, 4], each within its own image, from deltas [N, C, 4].

    Deltas are shares of the sides of a region, so those of a shrunk image suit the regions of the original image.
    """
    decoded, start = [], 0
    for regions in group:
        part = deltas[start : (start := start + len(regions))]
        decoded.append(decode_boxes(as_kind_of(part, regions.boxes), part, regions.size))
    return namespace(deltas).concatenate(decoded)
