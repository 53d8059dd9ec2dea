"""The samples that a classifier is measured with: undistorted regions, each once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from classifier.training.augmentation import no_distortions
from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.sampled_boxes import SampledBoxes
from detection.datasets import LabelledImage
from detection.datasets.annotated_images import read_annotated_image
from detection.image import read_image
from detection.structures.ground_truth import GroundTruth


class GroundTruthRegions(Dataset[RegionSample]):
    """Every ground truth that is not ignored as a region of its own, to measure a region classifier with."""

    def __init__(self, records: Sequence[GroundTruth]) -> None:
        self.objects = [(record, index) for record in records for index in np.flatnonzero(~record.ignored).tolist()]

    def __len__(self) -> int:
        return len(self.objects)

    def __getitem__(self, index: int) -> RegionSample:
        record, row = self.objects[index]
        boxes, labels = record.boxes[[row]], record.labels[[row]]
        image = read_annotated_image(record)
        return RegionSample(image, SampledBoxes(boxes, labels + 1, boxes), no_distortions(1), record.path)


@dataclass(eq=False)
class CentralCrops(Dataset[RegionSample]):
    """The central square of each image: the single crop by which classifiers of whole images are compared.

    Args:
        images: file and class of each image.
        share: side of the square as a share of the image's short side, 0-1; 224 / 256 in the papers.
    """

    images: Sequence[LabelledImage]
    share: float

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> RegionSample:
        path, label = self.images[index]
        image = read_image(path)
        height, width = image.shape[:2]
        half = self.share * min(height, width) / 2
        box = np.array([[width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half]], np.float32)
        return RegionSample(image, SampledBoxes(box, np.array([label], np.int64), box), no_distortions(1), path)
