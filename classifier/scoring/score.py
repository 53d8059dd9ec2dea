"""What one or several networks together say of regions: the engine behind `RegionClassifier` and `Ensemble`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from classifier.layers.box_deltas import decode_boxes
from classifier.scoring.cascade import Stages, join_scores, join_stages, promise
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.warp.regions import ImageRegions, Views, in_groups
from detection.runtime.device import naming_failed_device
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import RegionScores

Part = TypeVar("Part")

REGION_BYTES = 1 << 28
"""Bounds the memory of warped regions on a CPU: 5,461 of them at 64 pixels, 434 at 227."""

GPU_REGION_BYTES = 1 << 30
"""The same on a GPU: 1,783 regions at 224 pixels."""

ONE_VIEW = Views()


class Scores(NamedTuple):
    """Of N regions: `probabilities` [N, C + 1], and `boxes` [N, C, 4] where they are refined, both on the device."""

    probabilities: Tensor
    boxes: Tensor | None

    def of(self, rows: Tensor) -> Scores:
        """Those of the regions that are true in `rows` [N]."""
        return Scores(self.probabilities[rows], None if self.boxes is None else self.boxes[rows])


class StagedScores(NamedTuple):
    """What `classifier.scoring.cascade.Stages` holds, on the device."""

    first: Scores
    fused: Scores
    reached: Tensor


def score_regions(
    networks: Sequence[LoadedNetwork],
    images: Sequence[Image],
    boxes: Sequence[FloatArray],
    *,
    views: Views = ONE_VIEW,
    cascade_thresholds: Sequence[float] = (),
) -> list[RegionScores]:
    """The mean of what networks say of regions `boxes[i]` [N, 4] of each `images[i]` [H, W, 3].

    Probabilities are averaged, and so are refined boxes, over the networks that refine them.

    Args:
        networks: of the same classes, on the same device.
        images: which share batches.
        boxes: of each image.
        views: of each region, over which each network's answers are averaged.
        cascade_thresholds: for the first networks but the last of all. After each of them, a region goes on to the next
            network if the `promise` of the mean so far is at least this; else that mean stands.

    Raises:
        InputError: if the memory of the device is not enough, even for one region at once.
        DeviceError: if the device is lost.
    """
    parts = _by_image(_fused, networks, images, boxes, views=views, thresholds=cascade_thresholds)
    return [join_scores(of_image) for of_image in parts]


def stage_regions(
    networks: Sequence[LoadedNetwork],
    images: Sequence[Image],
    boxes: Sequence[FloatArray],
    *,
    views: Views = ONE_VIEW,
    cascade_thresholds: Sequence[float] = (),
) -> list[Stages]:
    """What one threshold more would choose between; arguments and errors are those of `score_regions`."""
    parts = _by_image(_stages, networks, images, boxes, views=views, thresholds=cascade_thresholds)
    return [join_stages(of_image) for of_image in parts]


def prepare_inputs(network: LoadedNetwork, group: Sequence[ImageRegions]) -> Tensor:
    """What a network reads of the regions of a group."""
    size, context = network.crop
    if not network.uses_kernels:
        read = network.reads_bytes
        if read is None:
            return network.inputs(_joined([part.warp(network.crop) for part in group]))
        return _joined([part.warp_to_bytes(network.crop, read) for part in group])
    from classifier.warp.triton_kernels import warp_inputs  # noqa: PLC0415  Triton is only where there are GPUs

    with torch.inference_mode(), torch.cuda.device(network.device):
        return warp_inputs(group, size=size, context=context, dtype=network.dtype, packed=network.reads_packed)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts one after the other, without a copy where there is one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _by_image(
    read: Callable[[StagedScores, Sequence[int]], list[Part]],
    networks: Sequence[LoadedNetwork],
    images: Sequence[Image],
    boxes: Sequence[FloatArray],
    *,
    views: Views,
    thresholds: Sequence[float],
) -> list[list[Part]]:
    """What is read of the scores of each image, whose regions may come in several parts."""
    device = networks[0].device
    parts: list[list[Part]] = [[] for _ in images]
    with naming_failed_device(device), torch.inference_mode():
        for group in in_groups(images, boxes, device, at_once=_at_once(networks, views)):
            indices, regions = zip(*group, strict=True)
            staged = _score_in_turn(networks, regions, None, (), views=views, thresholds=thresholds)
            for index, of_part in zip(indices, read(staged, [len(part) for part in regions]), strict=True):
                parts[index].append(of_part)
    return parts


def _at_once(networks: Sequence[LoadedNetwork], views: Views) -> int:
    """Regions that are warped together: whole batches within the bound of the device, or else one batch."""
    batch_size = networks[0].batch_size
    bytes_each = 12 * len(views.scales) * max(network.crop.size for network in networks) ** 2
    bound = REGION_BYTES if networks[0].device.type == "cpu" else GPU_REGION_BYTES
    return max(1, bound // bytes_each // batch_size) * batch_size


def _score_in_turn(
    networks: Sequence[LoadedNetwork],
    group: Sequence[ImageRegions],
    inputs: Sequence[Tensor] | None,
    so_far: Sequence[Scores],
    *,
    views: Views,
    thresholds: Sequence[float],
) -> StagedScores:
    """The mean of the scores `so_far` and of what the networks say of regions, until thresholds stop them.

    `inputs` are those of the first of these networks, at each scale; None if they are yet to be prepared.
    """
    network, *others = networks
    inputs = _prepare(network, group, views) if inputs is None else inputs
    so_far = [*so_far, _score(network, inputs, group, views)]
    mean = _mean(so_far)
    if not thresholds:
        fused = _mean([*so_far, *_score_by_others(networks, inputs, group, views)]) if others else mean
        probabilities = mean.probabilities
        return StagedScores(mean, fused, torch.ones(len(probabilities), dtype=torch.bool, device=probabilities.device))
    goes_on = promise(mean.probabilities) >= thresholds[0]
    rest = _score_in_turn(
        others,
        _select(group, goes_on),
        [one[goes_on] for one in inputs] if _reads(others[0]) == _reads(network) else None,
        [one.of(goes_on) for one in so_far],
        views=views,
        thresholds=thresholds[1:],
    )
    first, fused = (_put(mean, goes_on, later, group) for later in (rest.first, rest.fused))
    return StagedScores(first, fused, goes_on.index_put((goes_on,), rest.reached))


def _prepare(network: LoadedNetwork, group: Sequence[ImageRegions], views: Views) -> list[Tensor]:
    """What a network reads of the regions of a group, at each scale."""
    return [prepare_inputs(network, [part.scaled(scale) for part in group]) for scale in views.scales]


def _put(scores: Scores, rows: Tensor, later: Scores, group: Sequence[ImageRegions]) -> Scores:
    """The scores of a group, in which those of the regions that are true in `rows` [N] are `later` ones."""
    probabilities = scores.probabilities.index_put((rows,), later.probabilities)
    if later.boxes is None:
        return Scores(probabilities, None)
    boxes = _unrefined(group, later.boxes) if scores.boxes is None else scores.boxes
    return Scores(probabilities, boxes.index_put((rows,), later.boxes))


def _score_by_others(
    networks: Sequence[LoadedNetwork], inputs: Sequence[Tensor], group: Sequence[ImageRegions], views: Views
) -> Iterator[Scores]:
    """What all networks but the first say of regions, which are prepared as the first wants them."""
    first, *others = networks
    for reads in dict.fromkeys(map(_reads, networks)):
        alike = [network for network in others if _reads(network) == reads]
        if alike and reads != _reads(first):
            inputs = _prepare(alike[0], group, views)
        for network in alike:
            yield _score(network, inputs, group, views)


def _reads(network: LoadedNetwork) -> tuple[object, ...]:
    """What tells the inputs of networks apart."""
    read = network.reads_bytes
    return network.crop, network.reads_packed, read and (read.scale, read.zero)


def _score(network: LoadedNetwork, inputs: Sequence[Tensor], group: Sequence[ImageRegions], views: Views) -> Scores:
    """The mean of what a network says of all views of regions, which it reads as `inputs` at each scale."""
    found = []
    for scale, of_scale in zip(views.scales, inputs, strict=True):
        regions = [part.scaled(scale) for part in group]
        for mirrored in (False, True) if views.mirror else (False,):
            outputs = network.outputs_of(of_scale, prepared=True, mirrored=mirrored)
            refined = None if outputs.deltas is None else _decode(outputs.deltas, regions)
            found.append(Scores(network.probabilities(outputs.logits), refined))
    return _mean(found)


def _mean(scores: Iterable[Scores]) -> Scores:
    """The mean of the probabilities, and of the boxes of those that have them."""
    probabilities, boxes = zip(*scores, strict=True)
    refined = [one for one in boxes if one is not None]
    return Scores(torch.stack(probabilities).mean(dim=0), torch.stack(refined).mean(dim=0) if refined else None)


def _select(group: Sequence[ImageRegions], rows: Tensor) -> list[ImageRegions]:
    """The regions of a group that are true in `rows` [N]."""
    of_parts = rows.cpu().split([len(part) for part in group])
    return [part[selected.numpy()] for part, selected in zip(group, of_parts, strict=True)]


def _decode(deltas: Tensor, group: Sequence[ImageRegions]) -> Tensor:
    """Refined boxes [N, C, 4], each within its own image."""
    of_parts = deltas.split([len(part) for part in group])
    pairs = zip(group, of_parts, strict=True)
    # Deltas are shares of a region's sides, so they fit the boxes of an image that was shrunk just as well.
    return torch.cat([decode_boxes(torch.from_numpy(part.boxes).to(one), one, part.size) for part, one in pairs])


def _unrefined(group: Sequence[ImageRegions], like: Tensor) -> Tensor:
    """The regions themselves in place of refined boxes: [N, C, 4]."""
    boxes = torch.from_numpy(np.concatenate([part.boxes for part in group])).to(like)
    return boxes[:, None].expand(-1, like.shape[1], -1)


def _fused(staged: StagedScores, counts: Sequence[int]) -> list[RegionScores]:
    """The scores by all networks, of so many regions each."""
    return _split(staged.fused, counts)


def _stages(staged: StagedScores, counts: Sequence[int]) -> list[Stages]:
    """Both scores, of so many regions each."""
    reached = np.split(staged.reached.cpu().numpy(), np.cumsum(counts)[:-1])
    return [Stages(*one) for one in zip(_split(staged.first, counts), _fused(staged, counts), reached, strict=True)]


def _split(scores: Scores, counts: Sequence[int]) -> list[RegionScores]:
    ends = np.cumsum(counts)[:-1]
    probabilities = np.split(scores.probabilities.cpu().numpy(), ends)
    if scores.boxes is None:
        return [RegionScores(one) for one in probabilities]
    boxes = np.split(scores.boxes.cpu().numpy(), ends)
    return [RegionScores(*pair) for pair in zip(probabilities, boxes, strict=True)]
