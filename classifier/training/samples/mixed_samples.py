"""Training samples of two sources in one order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifier.training.samples.region_batch import RegionSample
from classifier.training.samples.region_samples import Samples
from classifier.training.samples.sampled_boxes import even_quota
from detection.training.decoded_images import ImageReader
from detection.training.sample_order import SampleKey


class MixedSamples(Samples):
    """Samples of objects, where samples of other images take an evenly spread share of the positions.

    Any n positions in a row hold `share` * n samples of the other images, rounded up or down. The other images follow
    in turn.

    Args:
        objects: the samples that the classes are learned from; an epoch goes once through their records.
        others: the samples that take the place of some of them.
        share: share of the positions that the others take, 0-1.
    """

    def __init__(self, objects: Samples, others: Samples, *, share: float) -> None:
        super().__init__(seed=objects.seed)
        self.objects = objects
        self.others = others
        self.share = share

    def __len__(self) -> int:
        return len(self.objects)

    def files(self) -> list[Path]:
        return [*self.objects.files(), *self.others.files()]

    def checksum(self) -> int:
        return self.objects.checksum() ^ self.others.checksum()

    def read_by(self, reader: ImageReader) -> None:
        self.objects.read_by(reader)
        self.others.read_by(reader)

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[RegionSample]:
        positions = np.array([key.position for key in keys])
        counts = np.floor(positions * self.share).astype(np.int64).tolist()  # samples of other images before each
        is_other = even_quota(positions, self.share).tolist()
        objects, others = [], []
        for key, count, other in zip(keys, counts, is_other, strict=True):
            # Both sources get consecutive positions, by which they share out foreground and background.
            if other:
                # Each round begins one record further on; otherwise foreground would always fall to the same images.
                record = (count + count // len(self.others)) % len(self.others)
                others.append(key._replace(position=count, record=record))
            else:
                objects.append(key._replace(position=key.position - count))
        drawn = (iter(self.objects.__getitems__(objects)), iter(self.others.__getitems__(others)))
        return [next(drawn[other]) for other in is_other]
