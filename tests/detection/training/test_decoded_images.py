"""Tests that decoded images are the pixels of their files, and are refused if a file has changed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.errors import InputError
from detection.image import read_image
from detection.training.decoded_images import DecodedImages, decode_images, open_or_decode


@pytest.fixture(name="images")
def pictures_of_different_sizes(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = []
    for index, size in enumerate([(5, 7), (12, 3), (1, 1)]):
        paths.append(tmp_path / f"{index}.jpg")
        PIL.Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).save(paths[-1])
    return paths


@pytest.mark.parametrize("workers", [0, 2])
def test_pixels_are_those_of_the_files(tmp_path: Path, images: list[Path], workers: int) -> None:
    decoded = open_or_decode(str(tmp_path / "new" / "train.decoded"), images, workers=workers)
    assert isinstance(decoded, DecodedImages)
    assert len(decoded) == len(images)
    for path in images:
        assert np.array_equal(decoded(path), read_image(path))


def test_paths_may_go_up_a_folder(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "below").mkdir()
    indirect = [tmp_path / "below" / ".." / path.name for path in images]
    decoded = open_or_decode(str(tmp_path / "d"), indirect, workers=0)
    assert np.array_equal(decoded(indirect[0]), decoded(images[0]))
    assert np.array_equal(decoded(images[0]), read_image(images[0]))


def test_without_a_file_images_are_decoded_each_time(images: list[Path]) -> None:
    assert open_or_decode(None, images, workers=0) is read_image


def test_a_loader_process_opens_the_file_anew(tmp_path: Path, images: list[Path]) -> None:
    decoded = open_or_decode(str(tmp_path / "d"), images, workers=0)
    content = pickle.dumps(decoded)
    assert len(content) < 500
    assert np.array_equal(pickle.loads(content)(images[1]), read_image(images[1]))


def test_files_are_decoded_once(tmp_path: Path, images: list[Path]) -> None:
    open_or_decode(str(tmp_path / "d"), images, workers=0)
    written = (tmp_path / "d").stat().st_mtime_ns
    images[0].write_bytes(images[0].read_bytes())  # a new file with the same content
    assert open_or_decode(str(tmp_path / "d"), images, workers=0)(images[0]).shape == (5, 7, 3)
    assert (tmp_path / "d").stat().st_mtime_ns == written


def test_other_images_are_refused(tmp_path: Path, images: list[Path]) -> None:
    open_or_decode(str(tmp_path / "d"), images[:2], workers=0)
    with pytest.raises(InputError, match=r"d: expected the pixels of .*2\.jpg, found none; delete it and its index"):
        open_or_decode(str(tmp_path / "d"), images, workers=0)
    length = images[0].stat().st_size
    for other in (bytes(length), bytes(length - 1)):
        images[0].write_bytes(other)
        with pytest.raises(InputError, match=r"d: expected the pixels of .*0\.jpg as it is now, got those of an"):
            open_or_decode(str(tmp_path / "d"), images[:2], workers=0)


def test_a_broken_image_is_named_and_nothing_is_left(tmp_path: Path, images: list[Path]) -> None:
    images[2].write_bytes(b"\xff\xd8\xff broken")
    for workers in (0, 1):
        with pytest.raises(InputError, match=r"2\.jpg"):
            open_or_decode(str(tmp_path / "out" / "d"), images, workers=workers)
        assert not list((tmp_path / "out").iterdir())


def test_a_run_that_was_killed_after_the_index_begins_again(tmp_path: Path, images: list[Path]) -> None:
    decode_images(tmp_path / "d", images[:1], workers=0)
    (tmp_path / "d").unlink()
    assert np.array_equal(open_or_decode(str(tmp_path / "d"), images, workers=0)(images[0]), read_image(images[0]))


def test_damaged_files_are_refused(tmp_path: Path, images: list[Path]) -> None:
    path, index = tmp_path / "d", tmp_path / "d.index"
    decode_images(path, images, workers=0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=rf"d: expected {len(whole)} bytes as its index says, got {len(whole) - 1}"):
        DecodedImages(path)
    path.unlink()
    with pytest.raises(InputError, match=r"d: expected .* bytes as its index says, got 0"):
        DecodedImages(path)
    for broken in (b"[]", b"{", b'{"format": "inception-rcnn decoded images 2"}'):
        index.write_bytes(broken)
        with pytest.raises(InputError, match=r"d\.index: expected the index of decoded images, cannot read it"):
            DecodedImages(path)
    for other in ("another", "inception-rcnn decoded images 1"):
        index.write_text(f'{{"format": "{other}"}}')
        expected = rf"d\.index: expected 'inception-rcnn decoded images 2', got '{other}'; delete it"
        with pytest.raises(InputError, match=expected):
            DecodedImages(path)
    index.unlink()
    with pytest.raises(InputError, match=r"d\.index: expected the index of decoded images: No such file"):
        DecodedImages(path)


def test_no_place_to_write(tmp_path: Path, images: list[Path]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a place to write to, got: "):
        decode_images(tmp_path / "file" / "d", images, workers=0)


def test_no_images(tmp_path: Path) -> None:
    decoded = open_or_decode(str(tmp_path / "d"), [], workers=0)
    assert isinstance(decoded, DecodedImages)
    assert len(decoded) == 0
