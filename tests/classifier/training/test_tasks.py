from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from classifier.training.augmentation import Augmentation
from classifier.training.samples.crop_samples import CropSamples
from classifier.training.samples.region_batch import RegionCollation
from classifier.training.tasks import Regions, WholeImages, require_all_classes
from detection.datasets import LabelledImage, TinyImageNet
from detection.errors import InputError
from detection.runtime.pixels import MEAN_RGB
from detection.training.sample_order import SampleKey


@pytest.fixture(name="dataset", scope="module")
def tiny_dataset(tiny_images: Path) -> TinyImageNet:
    return TinyImageNet(tiny_images)


def test_whole_images_are_cropped(dataset: TinyImageNet) -> None:
    samples = WholeImages().training_samples(dataset, "val", proposals=None, augmentation=Augmentation(), seed=3)
    assert len(samples) == 12
    found = [samples[SampleKey(0, position, position % 12)] for position in range(120)]
    boxes = np.concatenate([sample.regions.boxes for sample in found])
    assert boxes.shape == (120, 4)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1) / 64**2
    assert 0.08 <= area.min() < 0.2
    assert 0.8 < area.max() <= 1
    assert [int(sample.regions.labels[0]) for sample in found[:6]] == [0, 1, 2, 0, 1, 2]  # no background


def test_alexnets_crops_lie_in_the_central_square(tmp_path: Path) -> None:
    # Of 100 x 60 the central square is 20-80 x 0-60; a crop of (224 / 256)^2 of its area has sides of 52.5.
    path = tmp_path / "wide.png"
    PIL.Image.new("RGB", (100, 60)).save(path)
    share = (224 / 256) ** 2
    samples = CropSamples(
        [LabelledImage(path, 5)],
        area=(share, share),
        aspect=(1, 1),
        central_square=True,
        augmentation=Augmentation(),
        seed=1,
    )
    boxes = np.concatenate([samples[SampleKey(0, position, 0)].regions.boxes for position in range(200)])
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], 52.5, atol=1e-3)
    assert boxes[:, 0].min() >= 20
    assert boxes[:, 2].max() <= 80
    assert (boxes[:, :2].max(0) - boxes[:, :2].min(0) > 6).all()  # of 7.5


def test_whole_images_are_measured_by_their_centre(dataset: TinyImageNet) -> None:
    sample = WholeImages().validation_samples(dataset, "val")[1]
    assert sample.regions.boxes.tolist() == [[4, 4, 60, 60]]  # 64 * 224 / 256 = 56
    assert sample.regions.labels.tolist() == [1]
    whole = WholeImages(validation_crop=1).validation_samples(dataset, "val")[0]
    assert whole.regions.boxes.tolist() == [[0, 0, 64, 64]]


def test_regions_hold_their_share_of_foreground(dataset: TinyImageNet) -> None:
    samples = Regions(per_image=4, foreground_fraction=0.25).training_samples(
        dataset, "val", proposals=None, augmentation=Augmentation(), seed=3
    )
    collate = RegionCollation(size=32, context=0)
    batch = collate([samples[SampleKey(0, position, position)] for position in range(12)])
    assert batch.boxes.shape == batch.targets.shape == (48, 4)
    assert (batch.labels > 0).view(12, 4).sum(1).tolist() == [1] * 12
    assert set(batch.labels.tolist()) == {0, 1, 2, 3}  # background before the three classes
    assert len(batch.distortions.mirrored) == 48


def test_ground_truth_is_measured(dataset: TinyImageNet) -> None:
    samples = Regions().validation_samples(dataset, "val")
    assert len(samples) == 12  # type: ignore[arg-type]
    assert samples[2].regions.labels.tolist() == [3]
    assert samples[2].regions.boxes.tolist() == [[0, 0, 64, 64]]


@pytest.mark.parametrize("task", [WholeImages(), Regions(per_image=2)])
def test_a_sample_is_a_function_of_seed_and_key(task: WholeImages | Regions, dataset: TinyImageNet) -> None:
    def draw(seed: int, key: SampleKey) -> tuple[list[float], list[float]]:
        sample = task.training_samples(dataset, "val", proposals=None, augmentation=Augmentation(), seed=seed)[key]
        return sample.regions.boxes.tolist(), sample.distortions.gains.tolist()

    key = SampleKey(2, 7, 4)
    torch.manual_seed(5)
    first = draw(1, key)
    torch.manual_seed(6)
    assert draw(1, key) == first
    for seed, other in ((2, key), (1, key._replace(epoch=3)), (1, key._replace(position=8))):
        assert draw(seed, other)[1] != first[1]


def test_smaller_images_are_filled_up_with_the_mean(dataset: TinyImageNet) -> None:
    samples = WholeImages().validation_samples(dataset, "val")
    large, small = samples[0], samples[1]
    small = small._replace(image=small.image[:30, :20])
    small = small._replace(regions=small.regions._replace(boxes=np.array([[0, 0, 20, 30]], np.float32)))
    batch = RegionCollation(size=32, context=0)([large, small])
    assert batch.images.shape == (2, 60, 60, 3)
    assert np.array_equal(batch.images[1, :30, :20].numpy(), small.image)
    assert batch.images[1, 30:].float().mean((0, 1)).tolist() == pytest.approx(np.round(MEAN_RGB).tolist())
    assert batch.files == f"{large.path}, {small.path}"


def test_classes_without_objects_are_named(dataset: TinyImageNet) -> None:
    require_all_classes([2, 0, 1, 1], dataset, "split 'val'")
    with pytest.raises(InputError, match="objects of every class in split 'val', got none of cat, rocket"):
        require_all_classes([1, 1], dataset, "split 'val'")
