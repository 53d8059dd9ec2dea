"""Tests of the regions that are drawn from images with proposals and with ignored objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from classifier.training.augmentation import Augmentation
from classifier.training.samples.region_pools import EvenSamples
from classifier.training.samples.region_samples import ObjectSamples
from classifier.training.samples.validation_samples import GroundTruthRegions
from classifier.training.tasks import Regions, WholeImages
from detection.datasets import DataSet
from detection.datasets.dataset import Entry
from detection.datasets.files.faults import Faults
from detection.errors import InputError
from detection.structures.arrays import FloatArray
from detection.structures.boxes import as_boxes, box_iou
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from detection.training.sample_order import SampleKey
from tests.classifier.training.samples.sampling_examples import Known, known

SIZE = (60, 100)
BOXES = as_boxes([(10, 10, 30, 30), (60, 10, 90, 50)])
LABELS = np.array([1, 0])
IGNORED = np.array([False, True])
# Of the object the upper half, IoU 1/2; of the ignored one the left two thirds; a strip that neither overlaps by half.
PROPOSED = as_boxes([(10, 10, 30, 20), (60, 10, 80, 50), (0, 0, 100, 10), (95, 55, 120, 90)])


@pytest.fixture(name="record")
def image_with_an_ignored_object(tmp_path: Path) -> GroundTruth:
    path = tmp_path / "a.png"
    PIL.Image.new("RGB", SIZE[::-1]).save(path)
    return GroundTruth("a", path, BOXES, LABELS, IGNORED)


def draw(record: GroundTruth, proposals: Known | None, fraction: float) -> tuple[set[tuple[float, ...]], set[int]]:
    """Return the set of boxes and the set of labels of many regions."""
    samples = ObjectSamples(
        [record],
        per_image=300,
        foreground_fraction=fraction,
        proposals=proposals,
        augmentation=Augmentation(),
        seed=0,
    )
    regions = samples[SampleKey(0, 0, 0)].regions
    return {tuple(box) for box in regions.boxes.tolist()}, set(regions.labels.tolist())


def as_set(boxes: FloatArray) -> set[tuple[float, ...]]:
    return {tuple(box) for box in boxes.tolist()}


def test_regions_come_from_the_proposals_within_the_image(record: GroundTruth) -> None:
    outside = as_boxes([(95, 55, 100, 60)])  # as it is cut at the borders
    assert draw(record, known(PROPOSED), 1) == (as_set(np.concatenate([BOXES[:1], PROPOSED[:1]])), {2})
    assert draw(record, known(PROPOSED), 0) == (as_set(np.concatenate([PROPOSED[2:3], outside])), {0})


def test_ignored_object_counts_where_it_is_not_ignored(record: GroundTruth) -> None:
    counted = GroundTruth("a", record.path, BOXES, LABELS)
    assert draw(counted, known(PROPOSED), 1) == (as_set(np.concatenate([BOXES, PROPOSED[:2]])), {1, 2})


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("proposals", [None, known(as_boxes([])), known(PROPOSED[1:2])])
def test_image_with_nothing_but_ignored_objects(record: GroundTruth, proposals: Known | None, fraction: float) -> None:
    alone = GroundTruth("a", record.path, BOXES[1:], LABELS[1:], IGNORED[1:])
    boxes, labels = draw(alone, proposals, fraction)
    assert labels == {0}
    assert len(boxes) == 300
    assert (box_iou(as_boxes(sorted(boxes)), BOXES[1:]) < 0.5).all()


def test_jittered_regions_leave_out_the_ignored_object(record: GroundTruth) -> None:
    boxes, labels = draw(record, None, 0.5)
    assert labels == {0, 2}
    assert (box_iou(as_boxes(sorted(boxes)), BOXES[1:]) < 0.5).all()


@pytest.mark.parametrize("proposals", [None, known(PROPOSED)])
def test_samples_of_a_batch_are_those_one_by_one(record: GroundTruth, proposals: Known | None) -> None:
    """Some of the images have nothing to draw from."""
    alone = GroundTruth("b", record.path, BOXES[1:], LABELS[1:], IGNORED[1:])
    everything = None if proposals is None else Known({**proposals, "b": Proposals(BOXES[1:], np.zeros(1, np.float32))})
    samples = ObjectSamples(
        [record, alone],
        per_image=5,
        foreground_fraction=0.5,
        proposals=everything,
        augmentation=Augmentation(),
        seed=2,
    )
    keys = [SampleKey(0, 3, 0), SampleKey(0, 4, 1), SampleKey(1, 9, 0), SampleKey(1, 2, 1)]
    for sample, key in zip(samples.__getitems__(keys), keys, strict=True):
        expected = samples[key]
        assert sample.path == expected.path
        for parts in ("regions", "distortions"):
            for found, wanted in zip(getattr(sample, parts), getattr(expected, parts), strict=True):
                assert np.array_equal(found, wanted)


def test_ignored_objects_are_not_measured(record: GroundTruth) -> None:
    empty = GroundTruth("b", record.path, as_boxes([]), LABELS[:0])
    regions = GroundTruthRegions([empty, record, GroundTruth("c", record.path, BOXES[1:], LABELS[1:])])
    assert len(regions) == 2
    assert [regions[index].regions.boxes.tolist() for index in (0, 1)] == [BOXES[:1].tolist(), BOXES[1:].tolist()]
    assert [regions[index].regions.labels.tolist() for index in (0, 1)] == [[2], [1]]


class Listed(DataSet):
    """A data set of two classes with the given records."""

    class_names = ("cat", "dog")

    def __init__(self, records: list[GroundTruth]) -> None:
        self.root = Path("listed")
        self.records = records

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:  # noqa: ARG002

        yield from (Entry(record.image_id, record, None) for record in self.records)


def both_classes(record: GroundTruth) -> Listed:
    return Listed([GroundTruth("a", record.path, BOXES, LABELS)])


def test_task_hands_the_proposals_on(record: GroundTruth) -> None:
    task = Regions(per_image=50, foreground_fraction=1)
    samples = task.training_samples(
        both_classes(record), "train", proposals=known(PROPOSED), augmentation=Augmentation(), seed=0
    )
    drawn = samples[SampleKey(0, 0, 0)].regions.boxes
    assert as_set(drawn) == as_set(np.concatenate([BOXES, PROPOSED[:2]]))


def test_task_draws_objects_equally_often(record: GroundTruth) -> None:
    task = Regions(per_image=50, foreground_fraction=1, even_objects=True)
    samples = task.training_samples(
        both_classes(record), "train", proposals=known(PROPOSED), augmentation=Augmentation(), seed=0
    )
    assert isinstance(samples, EvenSamples)
    assert set(samples[SampleKey(0, 0, 0)].regions.labels.tolist()) == {1, 2}


def test_objects_are_drawn_equally_often_from_proposals_only(record: GroundTruth) -> None:
    with pytest.raises(InputError, match="even_objects: expected --proposals"):
        Regions(even_objects=True).training_samples(
            both_classes(record), "train", proposals=None, augmentation=Augmentation(), seed=0
        )


def test_task_repeats_images_of_rare_classes(record: GroundTruth) -> None:
    rare = GroundTruth("a", record.path, BOXES, LABELS)
    paths = [record.path.with_name(f"common_{index}.png") for index in range(3)]
    for path in paths:
        path.write_bytes(record.path.read_bytes())
    common = [GroundTruth(path.stem, path, BOXES[:1], LABELS[:1]) for path in paths]
    samples = Regions(rare_share=1.0).training_samples(
        Listed([rare, *common]), "train", proposals=None, augmentation=Augmentation(), seed=0
    )
    assert len(samples) == 5  # class 0 is in one image of four, whose factor is the square root of 4
    assert samples.files() == [record.path, *paths]


def test_all_images_need_proposals(record: GroundTruth) -> None:
    with pytest.raises(InputError, match="memory: expected proposals of a"):
        Regions().training_samples(
            both_classes(record), "train", proposals=known(PROPOSED, "b"), augmentation=Augmentation(), seed=0
        )


def test_class_with_nothing_but_ignored_objects(record: GroundTruth) -> None:
    with pytest.raises(InputError, match="expected objects of every class in split 'train', got none of cat"):
        Regions().training_samples(Listed([record]), "train", proposals=None, augmentation=Augmentation(), seed=0)


def test_whole_images_have_no_use_for_proposals(record: GroundTruth) -> None:
    with pytest.raises(InputError, match="proposals: expected a task with regions, got one with whole images"):
        WholeImages().training_samples(
            both_classes(record), "train", proposals=known(PROPOSED), augmentation=Augmentation(), seed=0
        )
