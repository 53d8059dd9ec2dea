"""Where tools take the proposals of an image from: the proposer of the experiment, or a cache that it has filled."""

from __future__ import annotations

from typing import Any

import cv2
from jsonargparse import Namespace

from detection.arrays import Image
from detection.contracts import Proposals, Proposer
from detection.errors import InputError
from detection.ground_truth import GroundTruth
from proposals.cache import ProposalCache


class ImageProposals:
    """Proposals of the images of a data set.

    Args:
        propose: makes them.
        cache: has them already.
    """

    def __init__(self, propose: Proposer, cache: ProposalCache | None = None) -> None:
        self.propose = propose
        self.cache = cache

    def __call__(self, record: GroundTruth, image: Image) -> Proposals:
        """The proposals of `record`, whose pixels are `image`.

        Raises:
            InputError: naming the cache, if it was filled from an image of another size.
        """
        if self.cache is None:
            return self.propose(image)
        (height, width), (cached_height, cached_width) = image.shape[:2], self.cache.size(record.image_id)
        if (height, width) != (cached_height, cached_width):
            raise InputError(
                f"{self.cache.path}: expected proposals of {record.path}, {width}x{height} px, got those of an image "
                f"of {cached_width}x{cached_height} px"
            )
        return self.cache[record.image_id]


def open_cache(settings: Namespace, propose: Namespace | None) -> ProposalCache | None:
    """The cache that the option `--proposals` of an experiment names, if there is one.

    Raises:
        InputError: naming the file, if it cannot be used, is of another data set, or was filled by another proposer
            than `propose`, the settings of the experiment's.
    """
    if settings.proposals is None:
        return None
    cache = ProposalCache(settings.proposals)
    expected = cache_settings(settings, propose)
    cache.require_settings(expected if propose is not None else {"dataset": expected["dataset"]})
    return cache


def cache_settings(settings: Namespace, propose: Namespace | None) -> dict[str, Any]:
    """What tells the proposals of an experiment from others; not the data set's folder, which may be moved."""
    dataset = settings.dataset.as_dict()
    dataset["init_args"].pop("root")
    return {"propose": propose.as_dict() if propose is not None else None, "dataset": dataset}


def use_one_thread(_: int) -> None:
    """Let OpenCV have one thread in a loader process: the processes share the machine."""
    cv2.setNumThreads(1)
