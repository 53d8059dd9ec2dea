"""`Ensemble`: several networks as one classifier, with a cascade in which most regions are scored by few networks.

The loop over the networks is in `classifier.scoring.score`.
"""

import math
from collections.abc import Sequence

from classifier.scoring.cascade import StageScores, stage_regions
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.score import STEPS_PER_PIXEL, Cascade, Views, score_regions
from detection.errors import InputError
from detection.runtime.weights_files.engine import Cpu, Precision
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import snap_boxes
from detection.structures.class_choice import require_same_classes
from detection.structures.contracts import RegionScores


class Ensemble:
    """The mean of several networks (arXiv 1409.4842, section 8) as a classifier: `(images, boxes) -> RegionScores`.

    Probabilities are averaged. Refined boxes are averaged over the members that refine boxes; if none does, there are
    no refined boxes. The members may differ in everything but their classes.

    In a cascade, the first member scores all regions. A region goes on to the second member only if the
    `cascade_confidence` of its scores is at least the first of `cascade_thresholds`. It goes on to the third member if
    the confidence of the mean scores of both reaches the second threshold, and so on. All remaining members score the
    regions that pass the last threshold. A region that stops keeps the mean scores and boxes of the members that have
    scored it, or its own box if none of them refines boxes. `detect-calibrate-cascade` finds the thresholds, one after
    the other.

    Args:
        members: weights files, ONNX files, or bare names of shipped files. The first one leads the cascade and should
            be fast. With `follow_boxes` a member may be named twice, so that it scores the boxes that it has refined;
            it is loaded once.
        device: "cpu", "cuda", "cuda:1", ...; None is a GPU if there is one.
        precision: number format of the networks; None is the fastest one, see `find_precision`.
        batch_size: regions that pass through a network at once, which is halved if they do not fit into memory; None is
            a size that suits the device.
        mirror: average the scores of each region with those of its mirror image.
        scales: average the scores of windows about each region with these multiples of its sides; see
            `classifier.scoring.score.Views`.
        refine: refine boxes for each class, by the members that can.
        member_weights: the weight of each member in the means, above 0; None for equal weights.
        cascade_thresholds: 0-1, at most one for each member but the last; None lets all members score all regions.
        follow_boxes: after a threshold, score the refined box of each region's likeliest class in place of the region,
            if the members before the threshold refine boxes. This takes no more time and finds more objects.

    Raises:
        InputError: if weights cannot be used, their classes or heads differ, or the device is not there.
        ValueError: if there are no members, or a number is out of range.
    """

    def __init__(
        self,
        members: list[str],
        *,
        device: str | None = None,
        precision: Precision | None = None,
        batch_size: int | None = None,
        mirror: bool = False,
        scales: Sequence[float] = (1.0,),
        refine: bool = True,
        member_weights: list[float] | None = None,
        cascade_thresholds: list[float] | None = None,
        follow_boxes: bool = False,
    ) -> None:
        self.views = Views(mirror, scales)
        self.follow_boxes = follow_boxes
        self.member_weights = member_weights
        if member_weights is not None and (
            len(member_weights) != len(members) or not all(0 < weight < math.inf for weight in member_weights)
        ):
            raise ValueError(f"member_weights must be {len(members)} finite numbers above 0, got {member_weights}")
        if not members:
            raise ValueError("members must name at least one weights file, got none")
        self.cascade_thresholds = tuple(cascade_thresholds or ())
        if not all(0 <= threshold <= 1 for threshold in self.cascade_thresholds):
            raise ValueError(f"cascade_thresholds must lie in 0-1, got {cascade_thresholds}")
        if len(self.cascade_thresholds) >= len(members):
            raise ValueError(
                f"cascade_thresholds must be fewer than the {len(members)} members, got {cascade_thresholds}"
            )
        loaded = {
            name: LoadedNetwork(name, device=device, precision=precision, batch_size=batch_size, refine=refine)
            for name in dict.fromkeys(members)
        }
        self.networks = [loaded[name] for name in members]
        if not all(isinstance(network.device, Cpu) for network in self.networks):
            for network in self.networks:
                network.use_tensors()
        for network in self.networks[1:]:
            require_compatible(network, self.networks[0])

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.networks[0].description.class_names

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Return the scores and refined boxes of the regions `boxes[i]` [N, 4] of each image `images[i]` [H, W, 3]."""
        return score_regions(self._cascade(), images, boxes)

    def score_last(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Return the mean scores and refined boxes that the members after the last threshold give to regions.

        The regions are rounded as the boxes of `follow_boxes` are, so that another engine looks at the same ones.
        """
        first = len(self.cascade_thresholds)
        weights = None if self.member_weights is None else self.member_weights[first:]
        last = Cascade(self.networks[first:], views=self.views, weights=weights)
        return score_regions(last, images, [snap_boxes(regions, STEPS_PER_PIXEL) for regions in boxes])

    def stages(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[StageScores]:
        """Return the scores of the regions of each image with and without the members after the next threshold.

        Raises:
            ValueError: if there are not at least two members without a threshold.
        """
        thresholds = self.cascade_thresholds
        if len(self.networks) < len(thresholds) + 2:
            raise ValueError(
                f"stages need two members without a threshold, got {len(self.networks)} with {len(thresholds)}"
            )
        return stage_regions(self._cascade(), images, boxes)

    def _cascade(self) -> Cascade:
        return Cascade(
            self.networks,
            views=self.views,
            weights=self.member_weights,
            thresholds=self.cascade_thresholds,
            follow_boxes=self.follow_boxes,
        )


def require_compatible(network: LoadedNetwork, first: LoadedNetwork) -> None:
    """Check that two networks have the same classes, head and device, so that their probabilities can be averaged.

    Raises:
        InputError: naming the file of `network`, and the first difference.
    """
    names, expected = network.description.class_names, first.description.class_names
    require_same_classes(str(network.path), names, str(first.path), expected)
    if network.description.head != first.description.head:
        raise InputError(
            f"{network.path}: expected head '{first.description.head}' as in {first.path}, got "
            f"'{network.description.head}'"
        )
    if network.device != first.device:
        raise InputError(
            f"{network.path}: expected device {first.device} as for {first.path}, got {network.device}; set device: cpu"
        )
