"""Several networks as one classifier: the paper's fusion, with a cascade that spares most regions most of it."""

from __future__ import annotations

from collections.abc import Sequence

from classifier.scoring.cascade import Stages, stage_regions
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.score import find_views, score_regions
from classifier.whole_images.image_classifier import require_same_classes
from detection.errors import InputError
from detection.runtime.device import Precision
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import RegionScores


class Ensemble:
    """The mean of the probabilities of networks (arXiv 1409.4842, section 8), which may differ in all but the classes.

    Refined boxes are the mean of those of the members that refine boxes; where none does, regions stay as they are.

    In a cascade, the first member scores all regions. Only those whose `promise` by its scores is at
    least the first of `cascade_thresholds` go on to the second member; of these only those go on to the third in which
    that of the mean of both reaches the second threshold; and so on. What passes the last threshold goes on to all
    members that are left. The mean so far stands for what stops, with its boxes, or the regions themselves if no member
    so far refines them. `detect-calibrate-cascade` finds the thresholds, one after the other.

    Args:
        members: weights files, or bare names of shipped ones. The first leads the cascade, so the cheapest pays there.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the networks; by default what is fastest, see `find_precision`.
        batch_size: regions that pass through a network at once, halved where they do not fit into memory; by default
            what suits the device.
        mirror: whether each member's scores of a region are averaged with those of its mirror image.
        scales: sides of the windows about each region whose scores are averaged, as multiples of the region's; see
            `classifier.scoring.score.Views`.
        refine: whether to refine boxes for each class, by the members that can.
        cascade_thresholds: 0-1, at most one for each member but the last; None is exact, all members score all regions.

    Raises:
        InputError: if weights cannot be used or are not of the same classes and head, or the device is not there.
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
        cascade_thresholds: list[float] | None = None,
    ) -> None:
        self.views = find_views(mirror=mirror, scales=scales)
        if not members:
            raise ValueError("members must name at least one weights file, got none")
        self.cascade_thresholds = tuple(cascade_thresholds or ())
        if not all(0 <= threshold <= 1 for threshold in self.cascade_thresholds):
            raise ValueError(f"cascade_thresholds must lie in 0-1, got {cascade_thresholds}")
        if len(self.cascade_thresholds) >= len(members):
            raise ValueError(
                f"cascade_thresholds must be fewer than the {len(members)} members, got {cascade_thresholds}"
            )
        self.networks = [
            LoadedNetwork(name, device=device, precision=precision, batch_size=batch_size, refine=refine)
            for name in members
        ]
        for network in self.networks[1:]:
            require_same_answers(network, self.networks[0])

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.networks[0].description.class_names

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Scores of regions `boxes[i]` [N, 4] of each `images[i]` [H, W, 3], maybe with refined boxes."""
        return score_regions(self.networks, images, boxes, views=self.views, cascade_thresholds=self.cascade_thresholds)

    def stages(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[Stages]:
        """What one threshold more would choose between, for the regions of each image.

        Raises:
            ValueError: if there are not two members to which no threshold belongs.
        """
        thresholds = self.cascade_thresholds
        if len(self.networks) < len(thresholds) + 2:
            raise ValueError(
                f"stages need two members without a threshold, got {len(self.networks)} with {len(thresholds)}"
            )
        return stage_regions(self.networks, images, boxes, views=self.views, cascade_thresholds=thresholds)


def require_same_answers(network: LoadedNetwork, first: LoadedNetwork) -> None:
    """Check that the probabilities of two networks can be averaged.

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
