"""Pictures of another size than their annotation are refused with both sizes, however they came to have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.datasets.annotated_images import read_annotated_image, require_stated_sizes
from detection.errors import InputError
from detection.structures.boxes import as_boxes
from detection.structures.ground_truth import GroundTruth, StatedSize, checksum_of

BOX = (10, 20, 30, 40)


@pytest.fixture(name="record")
def picture_of_80_by_60(tmp_path: Path) -> GroundTruth:
    path = tmp_path / "a.png"
    PIL.Image.new("RGB", (80, 60)).save(path)
    return GroundTruth("a", path, as_boxes([BOX]), np.array([0])).stating(StatedSize(60, 80, "val.json: images[0]"))


def refusal(record: GroundTruth) -> str:
    """Return the message of the error that both ways to check the size raise."""
    lines = set()
    for check in (read_annotated_image, lambda record: require_stated_sizes([record])):
        with pytest.raises(InputError) as error:
            check(record)
        lines.add(error.value.line)
    (line,) = lines
    return line


def test_right_size(record: GroundTruth) -> None:
    assert read_annotated_image(record).shape == (60, 80, 3)
    require_stated_sizes([record, replace(record, stated_size=None)])


def test_resized_copy(record: GroundTruth) -> None:
    PIL.Image.new("RGB", (40, 30)).save(record.path)
    expected = "expected 80x60 px as in val.json: images[0], got 40x30 (with its EXIF orientation applied)"
    assert refusal(record) == f"{record.path}: {expected}"


def test_turned_by_exif(record: GroundTruth) -> None:
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    PIL.Image.new("RGB", (80, 60)).save(record.path, "JPEG", exif=exif)
    assert "expected 80x60 px as in val.json: images[0], got 60x80 (with" in refusal(record)


def test_the_size_stays_with_changed_objects(record: GroundTruth) -> None:
    PIL.Image.new("RGB", (60, 80)).save(record.path)
    assert "got 60x80" in refusal(replace(record, labels=np.array([1])))


@pytest.mark.parametrize("box", [(80, 0, 90, 10), (0, 60, 10, 70), (-10, 0, 0, 10), (0, -10, 10, 0), (200, 5, 225, 35)])
def test_box_wholly_outside(record: GroundTruth, box: tuple[int, ...]) -> None:
    outside = GroundTruth("a", record.path, as_boxes([BOX, box]), np.array([0, 0]))
    line = refusal(outside)
    assert line == f"{record.path}: expected boxes within the image of 80x60 px, got {[float(side) for side in box]}"
    require_stated_sizes([replace(outside, ignored=np.array([False, True]))])  # nothing is learned from ignored objects
    touching = GroundTruth("a", record.path, as_boxes([(79.5, 59.5, 90, 90), (-9, -9, 0.5, 0.5)]), np.array([0, 0]))
    require_stated_sizes([touching])


def test_unreadable_files_are_left_to_those_who_decode_them(record: GroundTruth) -> None:
    record.path.write_bytes(b"no picture")
    require_stated_sizes([record])
    with pytest.raises(InputError, match="expected a readable image"):
        read_annotated_image(record)


def test_the_checksum_is_of_names_and_objects(record: GroundTruth) -> None:
    same = replace(record, path=Path("elsewhere.png"), boxes=record.boxes.copy())
    assert checksum_of([record]) == checksum_of([same])
    others = [
        replace(record, image_id="b"),
        replace(record, boxes=record.boxes + 1),
        replace(record, labels=record.labels + 1),
        replace(record, ignored=~record.ignored),
    ]
    assert len({checksum_of(records) for records in [[record], [], *([other] for other in others)]}) == 6
    assert checksum_of([record, others[0]]) != checksum_of([others[0], record])
