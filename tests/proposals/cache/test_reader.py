"""The reader: what was written is read back, and damaged caches are rejected."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detection.errors import InputError
from detection.runtime import file_fingerprint
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals
from detection.structures.ground_truth import GroundTruth, StatedSize
from proposals.cache.index import index_path
from proposals.cache.reader import ProposalCache
from proposals.cache.writer import CacheWriter

SETTINGS = {"propose": {"class_path": "some.Proposer", "init_args": {"scales": (50, 100), "width": 500}}, "split": "a"}
SIZES = {"b": (30, 40), "empty": (4000, 3000), "a": (375, 500), "täg\n": (1, 1)}


def image_proposals(image_id: str) -> Proposals:
    """Return five boxes on whole pixels, or none, in a different order from that of their corners."""
    height, width = SIZES[image_id]
    count = 0 if image_id == "empty" else 5
    generator = np.random.default_rng(len(image_id) + height)
    corners = np.sort(generator.integers(0, [width + 1, height + 1], (count, 2, 2)), axis=1).reshape(count, 4)
    return Proposals(as_boxes(corners), np.arange(count, dtype=np.float32)[::-1] / np.float32(4))


def image_record(image_id: str, folder: Path) -> GroundTruth:
    """Return an image whose file has 100 bytes."""
    path = folder / f"{sorted(SIZES).index(image_id) if image_id in SIZES else image_id}.jpg"
    path.write_bytes(bytes(100))
    return GroundTruth(image_id, path, as_boxes([]), np.zeros(0, np.int64))


@pytest.fixture(name="path")
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "some.proposals"
    with CacheWriter(path, SETTINGS) as writer:
        for image_id, size in SIZES.items():
            writer.add(image_record(image_id, tmp_path), size, image_proposals(image_id))
        writer.finish()
    return path


def assert_is_whole(cache: ProposalCache) -> None:
    assert len(cache) == 4
    for image_id, size in SIZES.items():
        assert image_id in cache
        assert cache.size(image_id) == size
        expected, restored = image_proposals(image_id), cache[image_id]
        assert restored.boxes.tolist() == expected.boxes.tolist()
        assert restored.scores.tolist() == expected.scores.tolist()
        assert restored.sources is None


def test_reads_what_was_written(path: Path) -> None:
    assert path.stat().st_size == 15 * 11
    cache = ProposalCache(path)
    assert_is_whole(cache)
    assert cache.settings == {
        "propose": {"class_path": "some.Proposer", "init_args": {"scales": [50, 100], "width": 500}},
        "split": "a",
    }


def test_changing_proposals_does_not_change_the_cache(path: Path) -> None:
    cache = ProposalCache(path)
    cache["a"].boxes[:] = 7
    assert_is_whole(cache)


def test_boxes_of_several_images(path: Path) -> None:
    cache = ProposalCache(path)
    first, _, third, *_ = SIZES
    wanted = [third, first, third]
    boxes, counts = cache.boxes_of(wanted)
    assert boxes.dtype == np.float32
    assert counts.tolist() == [len(cache[image_id]) for image_id in wanted]
    assert np.array_equal(boxes, np.concatenate([cache[image_id].boxes for image_id in wanted]))
    assert cache.boxes_of([])[0].shape == (0, 4)


def test_pickled_cache_is_only_its_path(path: Path) -> None:
    pickled = pickle.dumps(ProposalCache(path))
    assert len(pickled) < 300
    assert_is_whole(pickle.loads(pickled))


@pytest.mark.parametrize("image_ids", [[], ["empty"]])
def test_cache_without_boxes(image_ids: list[str], tmp_path: Path) -> None:
    path = tmp_path / "none.proposals"
    with CacheWriter(path, {}) as writer:
        for image_id in image_ids:
            writer.add(image_record(image_id, tmp_path), SIZES[image_id], image_proposals(image_id))
        writer.finish()
    cache = ProposalCache(str(path))
    assert len(cache) == len(image_ids)
    assert all(len(cache[image_id]) == 0 for image_id in image_ids)


def test_sources_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "some.proposals"
    made = image_proposals("a")
    with CacheWriter(path, {}) as writer:
        proposals = Proposals(made.boxes, made.scores, np.array([0, 1, 254, 1, 0]))
        writer.add(image_record("a", tmp_path), SIZES["a"], proposals)
        writer.add(image_record("b", tmp_path), SIZES["b"], image_proposals("b"))
        writer.finish()
    sources = ProposalCache(path)["a"].sources
    assert sources is not None
    assert sources.tolist() == [0, 1, 254, 1, 0]
    assert sources.dtype == np.uint8
    assert ProposalCache(path)["b"].sources is None


def test_missing_image(path: Path) -> None:
    cache = ProposalCache(path)
    assert "c" not in cache
    with pytest.raises(KeyError):
        cache["c"]
    cache.require(image_record(image_id, path.parent) for image_id in SIZES)
    with pytest.raises(InputError) as error:
        cache.require(image_record(image_id, path.parent) for image_id in ("a", "c", "b", "d"))
    assert error.value.line == (
        f"{path}: expected proposals of image 'c' and 1 more, got none; add them with detect-propose"
    )


@pytest.mark.parametrize("length", [99, 101])
def test_images_of_another_data_set(length: int, path: Path) -> None:
    """The images have the same names; only the lengths of their files differ."""
    cache = ProposalCache(path)
    records = [image_record(image_id, path.parent) for image_id in SIZES]
    records[2].path.write_bytes(bytes(length))
    with pytest.raises(InputError) as error:
        cache.require(records)
    assert error.value.line == (
        f"{path}: expected proposals of {records[2].path}, {length} bytes, got those of an image 'a' of 100 bytes; "
        "the cache is of another data set, or the image has changed"
    )
    records[2].path.unlink()
    with pytest.raises(InputError, match=f"^{records[2].path}: expected a file: No such file"):
        cache.require(records)


def test_a_replaced_image_of_the_same_length_is_refused(path: Path) -> None:
    cache = ProposalCache(path)
    records = [image_record(image_id, path.parent) for image_id in SIZES]
    cache.require(records)
    times = records[1].path.stat()
    records[1].path.write_bytes(bytes(99) + b"1")
    os.utime(records[1].path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp -p` and archives do
    with pytest.raises(InputError) as error:
        cache.require(records)
    assert error.value.line == (
        f"{path}: expected proposals of {records[1].path}, got those of a file with the same length and other content; "
        "the cache is of another data set, or the image has changed"
    )


def test_unchanged_files_are_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [image_record(image_id, path.parent) for image_id in SIZES]
    with CacheWriter(path.parent / "other.proposals", SETTINGS) as writer:
        for record, size in zip(records, SIZES.values(), strict=True):
            writer.add(record, size, image_proposals(record.image_id))
        writer.finish()
    monkeypatch.setattr(file_fingerprint, "_crc32", pytest.fail)
    ProposalCache(writer.path).require(records)


def test_a_cache_of_version_2_knows_only_lengths(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = index_path(path)
    first, *images, last = [json.loads(line) for line in index.read_text().splitlines()]
    older = [first | {"version": 2}, *(image[:6] for image in images), last]
    index.write_text("".join(f"{json.dumps(line)}\n" for line in older))
    cache = ProposalCache(path)
    assert_is_whole(cache)
    cache.require_settings(SETTINGS | {"weights": {"some.safetensors": "0badc0de"}})
    records = [image_record(image_id, path.parent) for image_id in SIZES]
    records[2].path.write_bytes(b"1" * 100)
    cache.require(records)
    assert capsys.readouterr().err == (
        f"{path}: an older version made the proposals of 4 images, and stored only the lengths of their files; make "
        "the cache again if images were replaced by others of the same length\n"
    )
    records[2].path.write_bytes(bytes(99))
    with pytest.raises(InputError, match="99 bytes, got those of an image 'a' of 100 bytes"):
        cache.require(records)


def test_proposals_of_a_picture_of_another_size_than_its_annotation(path: Path) -> None:
    record = image_record("b", path.parent).stating(StatedSize(40, 30, "val.json"))
    with pytest.raises(InputError) as error:
        ProposalCache(path).require([record])
    assert error.value.line.startswith(f"{record.path}: expected 30x40 px as in val.json, got 40x30")


def test_settings_are_compared(path: Path) -> None:
    cache = ProposalCache(path)
    cache.require_settings(SETTINGS)
    cache.require_settings({"split": "a"})
    with pytest.raises(InputError, match=f"^{path}: expected a cache made with split b, got one with a$"):
        cache.require_settings({"split": "b"})
    other = {"class_path": "some.Proposer", "init_args": {"scales": (50, 100), "width": 500, "engine": "new"}}
    with pytest.raises(InputError, match=r"made with propose.init_args.engine new, got one with none$"):
        cache.require_settings({"propose": other})
    with pytest.raises(InputError, match=r"made with propose.init_args.scales left out, got one with \[50, 100\]$"):
        cache.require_settings({"propose": {"class_path": "some.Proposer", "init_args": {"width": 500}}})


def shorten(path: Path, count: int = 1) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def change_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[23] ^= 1
    path.write_bytes(content)


def in_index(old: str, new: str) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        index = index_path(path)
        text = index.read_text()
        assert old in text
        index.write_text(text.replace(old, new, 1))

    return replace


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (shorten, "{path}: expected 165 bytes of boxes as its index says, got 164"),
        (lambda path: path.write_bytes(path.read_bytes() + b"0"), "{path}: expected 165 bytes .* got 166"),
        (lambda path: path.unlink(), "{path}: expected 165 bytes of boxes as its index says, got 0"),
        (lambda path: index_path(path).unlink(), "{path}.index: expected the index of a cache of proposals: No such"),
        (lambda path: index_path(path).write_bytes(b""), "{path}.index: expected the index of a cache"),
        (lambda path: index_path(path).write_bytes(b"\x89PNG\n\x1a\n"), r"{path}.index: expected the index .*x89PNG"),
        (lambda path: index_path(path).write_text("[]\n{}\n"), "{path}.index: expected the index of a cache"),
        (lambda path: shorten(index_path(path)), "{path}: expected a finished cache .* with 4 images so far"),
        (lambda path: shorten(index_path(path), 50), "{path}: expected a finished cache .* with 3 images so far"),
        (in_index('"version": 3', '"version": 1'), "{path}.index: expected a cache .* of version 3, got .* 1; delete"),
        (in_index('"settings": ', '"other": '), "{path}.index: expected a cache of proposals of version 3"),
        (in_index('["b", 30', '["b", "30"'), "{path}.index:2: expected an image and its number of boxes"),
        (in_index('["b", 30', '["b", -30'), "{path}.index:2: expected an image"),
        (in_index('["b", 30', '["b" 30'), "{path}.index:2: expected an image"),
        (in_index('["b"', '["a"'), "{path}.index: expected each image once"),
        (in_index('"boxes": 15', '"boxes": 14'), "{path}.index:6: expected an image"),
        (in_index('"images": 4', '"images": 5'), "{path}.index:6: expected an image"),
        (lambda path: [file.unlink() for file in (path, index_path(path))], "{path}: no such cache of proposals"),
    ],
)
def test_broken_cache(harm: Callable[[Path], object], reason: str, path: Path) -> None:
    harm(path)
    with pytest.raises(InputError, match="^" + reason.format(path=path)) as error:
        ProposalCache(path)
    assert "\n" not in str(error.value)


def test_damaged_boxes(path: Path) -> None:
    change_byte(path)
    cache = ProposalCache(path)
    assert cache["a"].boxes.tolist() == image_proposals("a").boxes.tolist()
    with pytest.raises(InputError, match=f"^{path}: expected the boxes of image 'b' as they were written"):
        cache["b"]


@pytest.mark.parametrize(
    "line", [b'["a", 1, 1, 1, 18446744073709551616, 0]', b"[" * 100_000, b'["a", 1, 1, 1, 1, "x"]']
)
def test_a_line_with_numbers_or_lists_that_no_index_has(path: Path, line: bytes) -> None:
    head, *others = index_path(path).read_bytes().split(b"\n")
    index_path(path).write_bytes(b"\n".join([head, line, *others]))
    with pytest.raises(InputError, match=r"index:2: expected an image and its number of boxes, got b'"):
        ProposalCache(path)
