from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from classifier.augmentation import Augmentation
from classifier.backgrounds import Backgrounds, without_objects
from classifier.mixed_samples import MixedSamples
from classifier.tasks import Regions
from detection.boxes import as_boxes
from detection.contracts import Proposals
from detection.datasets import DataSet, TinyImageNet
from detection.datasets.dataset import Entry
from detection.datasets.faults import Faults
from detection.errors import InputError
from detection.ground_truth import GroundTruth
from detection.image import read_image
from detection.training.sample_order import SampleKey
from proposals.cache import CacheFile
from proposals.cache_writer import CacheWriter

SIZE = (60, 100)
PERSON, CAT = as_boxes([(10, 10, 30, 30), (60, 10, 90, 50)])
NEITHER = as_boxes([(0, 0, 100, 10)])[0]
COUNT = 5
"""Photographs."""


class Photographs(DataSet):
    """Photographs of a person and a cat each."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("person", "cat")

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:  # noqa: ARG002
        for index in range(COUNT if split == "train" else 0):
            record = GroundTruth(
                f"{index}", self.root / f"{index}.png", np.stack([PERSON, CAT]), np.arange(2), np.zeros(2, np.bool_)
            )
            yield Entry(record.image_id, record, None)


@pytest.fixture(name="photographs")
def photographs_with_proposals(tmp_path: Path) -> Photographs:
    photographs = Photographs(tmp_path)
    boxes = np.stack([PERSON, CAT, NEITHER])
    for index in range(COUNT):
        PIL.Image.new("RGB", SIZE[::-1]).save(tmp_path / f"{index}.png")
    with CacheWriter(tmp_path / "cache", {}) as writer:
        for record in photographs.read("train"):
            writer.add(record, SIZE, Proposals(boxes, np.zeros(3, np.float32)))
        writer.finish()
    return photographs


def backgrounds(
    photographs: Photographs,
    *,
    split: str = "train",
    share: float = 0.25,
    none_of_the_classes: tuple[str, ...] = ("person",),
    every: int = 1,
    part: int = 0,
) -> Backgrounds:
    return Backgrounds(
        photographs,
        split=split,
        proposals=CacheFile(str(photographs.root / "cache")),
        share=share,
        none_of_the_classes=none_of_the_classes,
        every=every,
        part=part,
    )


def drawn(some: Backgrounds) -> set[tuple[float, ...]]:
    """All regions of the first photograph."""
    samples = some.samples(per_image=100, augmentation=Augmentation(), seed=1)
    regions = samples[SampleKey(0, 0, 0)].regions
    assert not regions.labels.any()
    return {tuple(box) for box in regions.boxes.tolist()}


def test_what_may_be_of_the_classes_is_left_out(photographs: Photographs) -> None:
    assert drawn(backgrounds(photographs)) == {tuple(PERSON.tolist()), tuple(NEITHER.tolist())}


def test_without_categories_all_objects_are_left_out(photographs: Photographs) -> None:
    assert drawn(backgrounds(photographs, none_of_the_classes=())) == {tuple(NEITHER.tolist())}


def test_objects_that_stay_are_ignored(photographs: Photographs) -> None:
    record = without_objects(photographs.read("train")[0], [0])
    assert record.boxes.tolist() == [CAT.tolist()]
    assert record.ignored.tolist() == [True]
    assert record.labels.tolist() == [1]


@pytest.mark.parametrize(("part", "expected"), [(0, ["0", "2", "4"]), (1, ["1", "3"])])
def test_parts_share_the_photographs(part: int, expected: list[str], photographs: Photographs) -> None:
    samples = backgrounds(photographs, every=2, part=part).samples(per_image=1, augmentation=Augmentation(), seed=1)
    assert [path.stem for path in samples.files()] == expected


def test_they_take_their_share_of_the_places(photographs: Photographs, tiny_images: Path) -> None:
    task = Regions(foreground_fraction=0.5, backgrounds=backgrounds(photographs, share=0.3))
    samples = task.training_samples(TinyImageNet(tiny_images), "val", augmentation=Augmentation(), seed=1)
    assert isinstance(samples, MixedSamples)
    assert len(samples) == 12
    assert len(samples.files()) == 12 + COUNT
    found = samples.__getitems__([SampleKey(0, position, position % 12) for position in range(100)])
    of_photographs = [sample.path.parent == photographs.root for sample in found]
    assert sum(of_photographs) == 30
    for start in range(90):
        assert sum(of_photographs[start : start + 10]) == 3
    assert set(Counter(sample.path for sample in found if sample.path.parent == photographs.root).values()) == {6}
    labels = np.array([sample.regions.labels[0] for sample in found])
    assert not labels[of_photographs].any()
    assert (labels[~np.array(of_photographs)] > 0).sum() == 35  # half of the others


def test_samples_of_a_batch_are_those_one_by_one(photographs: Photographs, tiny_images: Path) -> None:
    task = Regions(backgrounds=backgrounds(photographs, share=0.5))
    samples = task.training_samples(TinyImageNet(tiny_images), "val", augmentation=Augmentation(), seed=1)
    keys = [SampleKey(3, position, position % 12) for position in range(7, 15)]
    for one, key in zip(samples.__getitems__(keys), keys, strict=True):
        assert one.path == samples[key].path
        assert np.array_equal(one.regions.boxes, samples[key].regions.boxes)


def test_all_images_are_read_by_the_same_reader(photographs: Photographs, tiny_images: Path) -> None:
    task = Regions(backgrounds=backgrounds(photographs, share=0.5))
    samples = task.training_samples(TinyImageNet(tiny_images), "val", augmentation=Augmentation(), seed=1)
    read: list[Path] = []

    def reading(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        read.append(path)
        return read_image(path)

    samples.read_by(reading)
    found = samples.__getitems__([SampleKey(0, position, position) for position in range(4)])
    assert sorted(read) == sorted(sample.path for sample in found)


def test_wrong_settings_are_named(photographs: Photographs) -> None:
    with pytest.raises(ValueError, match="share must lie between 0 and 1, got 1"):
        backgrounds(photographs, share=1)
    with pytest.raises(ValueError, match="part must lie in 0-1, got 2"):
        backgrounds(photographs, every=2, part=2)
    with pytest.raises(InputError, match="expected a category 'dog', got none of this name"):
        drawn(backgrounds(photographs, none_of_the_classes=("dog",)))
    with pytest.raises(InputError, match="expected photographs in split 'val', got none"):
        backgrounds(photographs, split="val").samples(per_image=1, augmentation=Augmentation(), seed=1)


def test_photographs_without_proposals_are_named(photographs: Photographs) -> None:
    with CacheWriter(photographs.root / "other", {}) as writer:
        writer.finish()
    some = Backgrounds(photographs, split="train", proposals=CacheFile(str(photographs.root / "other")), share=0.1)
    with pytest.raises(InputError, match="other: expected proposals of image '0' and 4 more, got none"):
        some.samples(per_image=1, augmentation=Augmentation(), seed=1)


def test_a_missing_cache_is_named_when_it_is_needed(photographs: Photographs) -> None:
    some = Backgrounds(photographs, split="train", proposals=CacheFile("nowhere"), share=0.1)
    with pytest.raises(InputError, match="nowhere: no such cache of proposals"):
        some.samples(per_image=1, augmentation=Augmentation(), seed=1)
