from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from classifier.training.augmentation import Augmentation
from classifier.training.samples.mixed_samples import MixedSamples
from classifier.training.samples.photographs import NONE, Photographs, with_labels, without_objects
from classifier.training.samples.region_samples import ObjectSamples
from classifier.training.tasks import Regions
from detection.datasets import DataSet, TinyImageNet
from detection.datasets.category_kinds import HEADER
from detection.datasets.dataset import Entry
from detection.datasets.files.faults import Faults
from detection.errors import InputError
from detection.image import read_image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth
from detection.training.sample_order import SampleKey
from proposals.cache import CacheFile
from proposals.cache.writer import CacheWriter

SIZE = (60, 100)
PERSON, CAT = as_boxes([(10, 10, 30, 30), (60, 10, 90, 50)])
NEITHER = as_boxes([(0, 0, 100, 10)])[0]
COUNT = 5
"""Number of photographs."""

CLASSES = ("diver", "Persian cat", "tabby")


class Pictures(DataSet):
    """Photographs that each show a person and a cat."""

    class_names = ("person", "cat")

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:  # noqa: ARG002
        for index in range(COUNT if split == "train" else 0):
            record = GroundTruth(
                f"{index}", self.root / f"{index}.png", np.stack([PERSON, CAT]), np.arange(2), np.zeros(2, np.bool_)
            )
            yield Entry(record.image_id, record, None)


@pytest.fixture(name="pictures")
def pictures_with_proposals(tmp_path: Path) -> Pictures:
    pictures = Pictures(tmp_path)
    boxes = np.stack([PERSON, CAT, NEITHER])
    for index in range(COUNT):
        PIL.Image.new("RGB", SIZE[::-1]).save(tmp_path / f"{index}.png")
    with CacheWriter(tmp_path / "cache", {}) as writer:
        for record in pictures.read("train"):
            writer.add(record, SIZE, Proposals(boxes, np.zeros(3, np.float32)))
        writer.finish()
    return pictures


def photographs(
    pictures: Pictures,
    *,
    split: str = "train",
    share: float = 0.25,
    classes: str | None = None,
    foreground_fraction: float = 0.0,
    none_of_the_classes: tuple[str, ...] = ("person",),
    folds: int = 1,
    held_out: int = 0,
) -> Photographs:
    return Photographs(
        pictures,
        split=split,
        proposals=CacheFile(str(pictures.root / "cache")),
        share=share,
        classes=classes,
        foreground_fraction=foreground_fraction,
        none_of_the_classes=none_of_the_classes,
        folds=folds,
        held_out=held_out,
    )


def draw_from(source: Photographs, *, per_image: int = 1) -> ObjectSamples:
    return source.samples(CLASSES, per_image=per_image, augmentation=Augmentation(), seed=1)


def drawn(source: Photographs) -> dict[tuple[float, ...], int]:
    """Return all regions of the first photograph, with their labels."""
    regions = draw_from(source, per_image=100)[SampleKey(0, 0, 0)].regions
    return dict(zip(map(tuple, regions.boxes.tolist()), regions.labels.tolist(), strict=True))


@pytest.fixture(name="kinds")
def kinds_of_the_categories(tmp_path: Path) -> str:
    """Write a file by which cats belong to one of two classes or to none, and persons to the first class."""
    path = tmp_path / "kinds.tsv"
    path.write_text(f"{HEADER}\ncat\tsome\ttabby, Persian cat\nperson\tall\tdiver\n")
    return str(path)


def test_what_may_be_of_the_classes_is_left_out(pictures: Pictures) -> None:
    assert drawn(photographs(pictures)) == {tuple(PERSON.tolist()): 0, tuple(NEITHER.tolist()): 0}


def test_without_categories_all_objects_are_left_out(pictures: Pictures) -> None:
    assert drawn(photographs(pictures, none_of_the_classes=())) == {tuple(NEITHER.tolist()): 0}


def test_objects_have_the_labels_of_their_classes(pictures: Pictures, kinds: str) -> None:
    source = photographs(pictures, classes=kinds, none_of_the_classes=(), foreground_fraction=0.5)
    assert source.label_sets(CLASSES) == [frozenset({NONE, 1, 2})]
    label_of_set = 1 + len(CLASSES)
    assert drawn(source) == {tuple(PERSON.tolist()): 1, tuple(CAT.tolist()): label_of_set, tuple(NEITHER.tolist()): 0}


def test_background_comes_before_classes(pictures: Pictures, kinds: str) -> None:
    source = photographs(pictures, classes=kinds, none_of_the_classes=("person",), foreground_fraction=0.5)
    assert drawn(source)[tuple(PERSON.tolist())] == 0


def test_without_a_file_there_are_no_sets(pictures: Pictures) -> None:
    assert photographs(pictures).label_sets(CLASSES) == []


def test_without_objects(pictures: Pictures) -> None:
    record = without_objects(pictures.read("train")[0], [0])
    assert record.boxes.tolist() == [CAT.tolist()]
    assert record.ignored.tolist() == [False]
    assert record.labels.tolist() == [1]


def test_what_has_no_label_is_ignored(pictures: Pictures) -> None:
    record = with_labels(pictures.read("train")[0], {1: 7})
    assert record.boxes.tolist() == [PERSON.tolist(), CAT.tolist()]
    assert record.ignored.tolist() == [True, False]
    assert record.labels[1] == 7


@pytest.mark.parametrize(("folds", "held_out", "expected"), [(1, 0, "01234"), (2, 0, "13"), (2, 1, "024")])
def test_a_fold_is_held_out(folds: int, held_out: int, expected: str, pictures: Pictures) -> None:
    samples = draw_from(photographs(pictures, folds=folds, held_out=held_out))
    assert [record.image_id for record in samples.records] == list(expected)
    assert [path.stem for path in samples.files()] == list("01234")  # decoded once for all folds


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_every_photograph_shows_foreground_and_background(share: float, pictures: Pictures, tiny_images: Path) -> None:
    thumbnails = TinyImageNet(tiny_images)
    kinds = pictures.root / "kinds.tsv"
    kinds.write_text(f"{HEADER}\ncat\tsome\t{', '.join(thumbnails.class_names)}\n")
    source = photographs(pictures, share=share, classes=str(kinds), none_of_the_classes=(), foreground_fraction=0.5)
    samples = Regions(photographs=source).training_samples(
        thumbnails, "val", proposals=None, augmentation=Augmentation(), seed=1
    )
    found = samples.__getitems__([SampleKey(0, position, position % 12) for position in range(int(20 * COUNT / share))])
    from_photographs = [sample for sample in found if sample.path.parent == pictures.root]
    seen = Counter((sample.path.stem, bool(sample.regions.labels[0])) for sample in from_photographs)
    assert seen == {(str(index), foreground): 10 for index in range(COUNT) for foreground in (False, True)}


def test_they_take_their_share_of_the_places(pictures: Pictures, tiny_images: Path) -> None:
    task = Regions(foreground_fraction=0.5, photographs=photographs(pictures, share=0.3))
    samples = task.training_samples(
        TinyImageNet(tiny_images), "val", proposals=None, augmentation=Augmentation(), seed=1
    )
    assert isinstance(samples, MixedSamples)
    assert len(samples) == 12
    assert len(samples.files()) == 12 + COUNT
    found = samples.__getitems__([SampleKey(0, position, position % 12) for position in range(100)])
    from_photographs = [sample.path.parent == pictures.root for sample in found]
    assert sum(from_photographs) == 30
    for start in range(90):
        assert sum(from_photographs[start : start + 10]) == 3
    assert set(Counter(sample.path for sample in found if sample.path.parent == pictures.root).values()) == {6}
    labels = np.array([sample.regions.labels[0] for sample in found])
    assert not labels[from_photographs].any()
    assert (labels[~np.array(from_photographs)] > 0).sum() == 35  # half of the others


def test_samples_of_a_batch_are_those_one_by_one(pictures: Pictures, tiny_images: Path) -> None:
    task = Regions(photographs=photographs(pictures, share=0.5))
    samples = task.training_samples(
        TinyImageNet(tiny_images), "val", proposals=None, augmentation=Augmentation(), seed=1
    )
    keys = [SampleKey(3, position, position % 12) for position in range(7, 15)]
    for sample, key in zip(samples.__getitems__(keys), keys, strict=True):
        assert sample.path == samples[key].path
        assert np.array_equal(sample.regions.boxes, samples[key].regions.boxes)


def test_all_images_are_read_by_the_same_reader(pictures: Pictures, tiny_images: Path) -> None:
    task = Regions(photographs=photographs(pictures, share=0.5))
    samples = task.training_samples(
        TinyImageNet(tiny_images), "val", proposals=None, augmentation=Augmentation(), seed=1
    )
    read: list[Path] = []

    def reading(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        read.append(path)
        return read_image(path)

    samples.read_by(reading)
    found = samples.__getitems__([SampleKey(0, position, position) for position in range(4)])
    assert sorted(read) == sorted(sample.path for sample in found)


def test_wrong_settings_are_named(pictures: Pictures) -> None:
    with pytest.raises(ValueError, match="share must lie between 0 and 1, got 1"):
        photographs(pictures, share=1)
    with pytest.raises(ValueError, match="held_out must lie in 0-1, got 2"):
        photographs(pictures, folds=2, held_out=2)
    with pytest.raises(ValueError, match=r"classes must be given with a foreground_fraction of 0\.5, got none"):
        photographs(pictures, foreground_fraction=0.5)
    with pytest.raises(ValueError, match=r"foreground_fraction must lie in 0-1, got 1\.5"):
        photographs(pictures, foreground_fraction=1.5)
    with pytest.raises(InputError, match="expected a category 'dog', got none of this name"):
        drawn(photographs(pictures, none_of_the_classes=("dog",)))
    with pytest.raises(InputError, match="expected photographs in split 'val', got none"):
        draw_from(photographs(pictures, split="val"))


def test_photographs_without_proposals_are_named(pictures: Pictures) -> None:
    with CacheWriter(pictures.root / "other", {}) as writer:
        writer.finish()
    source = Photographs(pictures, split="train", proposals=CacheFile(str(pictures.root / "other")), share=0.1)
    with pytest.raises(InputError, match="other: expected proposals of image '0' and 4 more, got none"):
        draw_from(source)


def test_a_missing_cache_is_named_when_it_is_needed(pictures: Pictures) -> None:
    source = Photographs(pictures, split="train", proposals=CacheFile("nowhere"), share=0.1)
    with pytest.raises(InputError, match="nowhere: no such cache of proposals"):
        draw_from(source)
