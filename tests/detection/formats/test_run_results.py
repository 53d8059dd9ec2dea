from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.errors import InputError
from detection.formats.detections import read_detections
from detection.formats.run_results import (
    NAME,
    ResultsWriter,
    StoredResult,
    read_results,
    require_settings,
    select_results,
)
from detection.structures.detections import Detections
from detection.structures.split_columns import SplitObjects, split_index

NAMES = ("cat", "dog")
SETTINGS = {"detector": {"score_threshold": 0.1, "scales": (1, 2)}, "split": "val"}


def result(image_id: str, count: int = 2) -> StoredResult:
    generator = np.random.default_rng(count)
    corners = generator.uniform(0, 50, (count, 2))
    boxes = np.hstack([corners, corners + generator.uniform(1, 40, (count, 2))]).astype(np.float32)
    labels = generator.integers(2, size=count)
    return StoredResult(
        image_id, (48, 64), 100 + count, Detections(boxes, generator.random(count).astype(np.float32), labels, NAMES)
    )


def truth(*image_ids: str) -> SplitObjects:
    nothing = np.zeros(0, np.int64)
    flags = nothing.astype(np.bool_)
    index = split_index(image_ids, NAMES)
    return SplitObjects(index, nothing, nothing, np.zeros((0, 4)), flags, flags, np.zeros(0))


def write(path: Path, *results: StoredResult, settings: dict[str, Any] = SETTINGS) -> None:
    with ResultsWriter(path, settings, NAMES) as writer:
        for item in results:
            writer.add(item)


@pytest.fixture(name="path")
def results_path(tmp_path: Path) -> Path:
    return tmp_path / "run" / NAME


def test_reads_what_was_written(path: Path) -> None:
    write(path, result("a", 3), result("b", 0))
    results = read_results(path)
    assert list(results.images) == ["a", "b"]
    assert results.class_names == NAMES
    assert results.length == path.stat().st_size
    found, expected = results.images["a"], result("a", 3)
    assert found[:3] == expected[:3] == ("a", (48, 64), 103)
    for name in ("boxes", "scores", "labels"):
        column = getattr(found.detections, name)
        np.testing.assert_array_equal(column, getattr(expected.detections, name))
        assert column.dtype == getattr(expected.detections, name).dtype
    assert len(results.images["b"].detections) == 0


def test_covered_objects_may_not_have_been_counted(path: Path) -> None:
    write(path, result("a"), result("b")._replace(covered=0), result("c")._replace(covered=3))
    assert [item.covered for item in read_results(path).images.values()] == [None, 0, 3]


def test_goes_on_after_being_cut_at_any_byte(path: Path) -> None:
    write(path, result("a"), result("b"))
    whole = path.read_bytes()
    ends = [position + 1 for position, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 3
    for length in range(ends[0], len(whole)):
        path.write_bytes(whole[:length])
        with ResultsWriter(path, SETTINGS, NAMES) as writer:
            left = list(writer.images)
            assert left == ["a", "b"][: sum(end <= length for end in ends) - 1]
            for name in ["a", "b"][len(left) :]:
                writer.add(result(name))
        assert path.read_bytes() == whole


def test_garbled_last_line_is_done_again(path: Path) -> None:
    write(path, result("a"), result("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30] + bytes(29) + b"\n")
    write(path, result("b"))
    assert path.read_bytes() == whole


def test_damage_in_the_middle_is_named(path: Path) -> None:
    write(path, result("a"), result("b"))
    content = path.read_bytes()
    place = content.index(b'"image": "a"') + 10
    path.write_bytes(content[:place] + b"x" + content[place + 1 :])
    with pytest.raises(
        InputError, match=rf"{NAME}:2: expected the results of an image as they were written, got damag"
    ):
        read_results(path)


def test_file_of_something_else(path: Path) -> None:
    with pytest.raises(InputError, match="expected the results of a run: No such file"):
        read_results(path)
    path.parent.mkdir()
    for content in (b"", b"nothing", b"nothing\n", b'00000000 {"format": "inception-rcnn detections"}\n'):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{NAME}:1: expected results of a run, of version 1, got"):
            ResultsWriter(path, SETTINGS, NAMES)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (SETTINGS | {"split": "test"}, "expected results made with split test, got some with val"),
        (
            SETTINGS | {"detector": {"score_threshold": 0.2, "scales": (1, 2)}},
            "expected results made with detector.score_threshold 0.2, got some with 0.1",
        ),
        ({"split": "val"}, "expected results made with detector.scales left out, got some with"),
        (SETTINGS | {"more": {}}, "expected results made with more {}, got some with none"),
    ],
)
def test_results_of_other_settings_are_refused(path: Path, settings: dict[str, Any], reason: str) -> None:
    write(path, result("a"))
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        ResultsWriter(path, settings, NAMES)
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="expected results for the classes of this run"):
        ResultsWriter(path, SETTINGS, ("dog", "cat"))
    require_settings(path, {"a": [1]}, {"a": [1]})


def test_each_image_once(path: Path) -> None:
    with ResultsWriter(path, SETTINGS, NAMES) as writer:
        writer.add(result("a"))
        with pytest.raises(ValueError, match="expected each image once, got a again"):
            writer.add(result("a"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[-1], lines[-1]]))
    with pytest.raises(InputError, match=rf"{NAME}:3: expected each image once, got 'a' again"):
        read_results(path)


def test_table_of_those_images_that_are_done(path: Path) -> None:
    write(path, result("c", 3), result("a", 2))
    objects, detections = select_results(read_results(path), truth("a", "b", "c"), path)
    assert objects.index.image_ids == ("a", "c")
    assert detections.images.tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(detections.scores[2:].astype(np.float32), result("c", 3).detections.scores)


def test_scored_as_a_file_only_when_whole(path: Path) -> None:
    write(path, result("a", 2), result("b", 1))
    for name in (path, path.parent):
        assert read_detections(name, truth("b", "a")).images.tolist() == [0, 1, 1]
        with pytest.raises(InputError, match="expected results for all 3 images, got 2; go on with the run"):
            read_detections(name, truth("a", "b", "c"))
        with pytest.raises(InputError, match="expected results for images of the ground truth, got 'b'"):
            read_detections(name, truth("a"))


@pytest.mark.parametrize(
    "line",
    [b"no JSON", b"", b"[" * 100_000, b"9" * 5000, b'{"image": "a"}', b"[]", b"null"],
)
def test_a_line_with_a_right_checksum_that_is_none_of_ours(path: Path, line: bytes) -> None:
    write(path, result("a"))
    head, first, _ = path.read_bytes().split(b"\n")
    foreign = b"%08x %s" % (zlib.crc32(line), line)
    path.write_bytes(b"\n".join([head, foreign, first, b""]))
    with pytest.raises(InputError, match=rf"^{path}:2: expected the results of an image as they were written"):
        read_results(path)
    path.write_bytes(b"\n".join([foreign, first, b""]))
    with pytest.raises(InputError, match=rf"^{path}:1: expected results of a run"):
        read_results(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"size": [float("inf"), 3]},
        {"scores": [0.5, 1e300]},
        {"boxes": [1e300] * 8},
        {"labels": [2**64, 0]},
        {"labels": [float("inf"), 0]},
        {"proposals": float("nan")},
        {"file": [2**80, "a", 3, 4]},
        {"image": None, "covered": []},
    ],
)
def test_values_that_no_result_has(path: Path, changed: dict[str, Any]) -> None:
    write(path, result("a"), result("b"))
    head, first, second, _ = path.read_bytes().split(b"\n")
    line = json.dumps(json.loads(first.partition(b" ")[2]) | changed).encode()
    path.write_bytes(b"\n".join([head, b"%08x %s" % (zlib.crc32(line), line), second, b""]))
    with pytest.raises(InputError, match=rf"^{path}:2: expected the results of an image as they were written"):
        read_results(path)


@pytest.mark.parametrize(
    "changed", [{"settings": []}, {"settings": None}, {"class_names": 3}, {"class_names": [1, "a"]}]
)
def test_a_first_line_without_settings_or_names(path: Path, changed: dict[str, Any]) -> None:
    write(path, result("a"))
    head = json.loads(path.read_bytes().split(b"\n")[0].partition(b" ")[2])
    line = json.dumps(head | changed).encode()
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(line), line))
    with pytest.raises(InputError, match=rf"^{path}:1: expected the settings and class names of a run"):
        read_results(path)
