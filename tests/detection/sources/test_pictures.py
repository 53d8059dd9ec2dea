"""`find_pictures` and `sources_of_text` turn what a user names into pictures."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import detection
from detection.errors import InputError
from detection.sources.conversion import as_image, lasting_picture
from detection.sources.picture import encoded_picture, safe_name
from detection.sources.pictures import find_pictures, named_picture, sources_of_text
from detection.structures.arrays import Image
from tests.detection.image.image_files import PIXELS, encode
from tests.detection.sources.conftest import Server, answer
from tests.detection.sources.test_archives import write_zip
from tests.detection.sources.video_files import write_video

CONTENT = encode(PIL.Image.fromarray(PIXELS), "PNG")


@pytest.fixture(name="folder")
def folder_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with images, an archive, a video and lists."""
    for name in ("a.png", "b.png", "sub/c.png", "a.detections.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)
    write_zip(tmp_path / "x.zip", [("1.png", CONTENT), ("2.png", CONTENT)])
    write_video(tmp_path / "film.avi", frames=4, size=(16, 16))
    (tmp_path / "list.txt").write_text("# chosen\nsub/c.png\n\n  a.png  \nx.zip\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(sources: Any, **options: int) -> list[str]:
    return [picture.name for picture in find_pictures(sources, **options)]


def test_a_picture_is_shown_without_its_content() -> None:
    shown = repr(encoded_picture("a.zip/b.png", CONTENT, stem="b"))
    assert shown == f"Picture(name='a.zip/b.png', stem='b', folder={Path()!r}, path=None, moment=None)"


FRAMES = [f"film.avi/frame_{number:06}" for number in range(4)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.png", ["a.png"]),
        (".", ["a.png", "b.png"]),
        ("*.png", ["a.png", "b.png"]),
        ("*", ["a.png", "b.png"]),
        ("**/*.png", ["a.png", "b.png", "sub/c.png"]),
        ("a.detections.png", ["a.detections.png"]),
        ("x.zip", ["x.zip/1.png", "x.zip/2.png"]),
        ("*.zip", ["x.zip/1.png", "x.zip/2.png"]),
        ("film.avi", FRAMES),
        ("?ilm.avi", FRAMES),
        ("list.txt", ["sub/c.png", "a.png", "x.zip/1.png", "x.zip/2.png"]),
        ("-", ["standard input"]),
        ("https://example.org/a.png", ["https://example.org/a.png"]),
    ],
)
def test_a_text(source: str, expected: list[str]) -> None:
    assert names(source) == names([source]) == expected


@pytest.mark.usefixtures("folder")
def test_every_nth_frame() -> None:
    assert names("film.avi", every=3) == [FRAMES[0], FRAMES[3]]


def test_a_path_is_no_address(folder: Path) -> None:
    assert names(folder / "sub") == [str(folder / "sub" / "c.png")]
    (picture,) = find_pictures(Path("https://example.org/a.png"))
    with pytest.raises(InputError, match="no such file"):
        picture.read()


@pytest.mark.usefixtures("folder")
def test_sources_of_all_kinds_in_one_list() -> None:
    tensor = torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)
    values: list[Any] = ["a.png", CONTENT, io.BytesIO(CONTENT), PIXELS, PIL.Image.fromarray(PIXELS), tensor, "x.zip"]
    pictures = list(find_pictures(values))
    for picture in pictures:
        np.testing.assert_array_equal(picture.read(), PIXELS)
    assert [picture.name for picture in pictures] == [
        "a.png", "image 1", "image 2", "image 3", "image 4", "image 5", "x.zip/1.png", "x.zip/2.png",
    ]  # fmt: skip
    assert pictures[1].stem == "image_1"


@pytest.mark.parametrize(
    "value", [CONTENT, io.BytesIO(CONTENT), PIXELS, PIL.Image.fromarray(PIXELS), torch.from_numpy(PIXELS.copy().T)]
)
def test_a_single_value_is_not_taken_for_a_list(value: Any) -> None:
    (picture,) = find_pictures(value)
    assert picture.name == "image 0"


@pytest.mark.parametrize("value", [np.zeros((2, 2, 3)), torch.zeros(3, 2, 2, dtype=torch.int64), b"", None, 3, []])
def test_a_wrong_value_in_a_list_is_named_by_its_place(value: Any) -> None:
    good, bad = find_pictures([PIXELS, value])
    np.testing.assert_array_equal(good.read(), PIXELS)
    with pytest.raises(InputError, match=r"^image 1: "):
        bad.read()


def test_an_endless_iterable_is_read_as_it_is_needed() -> None:
    taken: list[int] = []

    def camera() -> Iterator[Image]:
        for number in count():
            taken.append(number)
            yield PIXELS

    assert [picture.name for picture in islice(find_pictures(camera()), 3)] == ["image 0", "image 1", "image 2"]
    assert taken == [0, 1, 2]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, PIL.Image.fromarray])
def test_a_generator_may_fill_the_same_array_again(kind: Callable[[Any], Any]) -> None:
    first = np.full((3, 4, 3) if kind is not torch.from_numpy else (3, 3, 4), 7, np.uint8)
    buffer = first.copy()

    def camera() -> Iterator[Any]:
        yield kind(buffer)
        buffer[:] = 0
        yield kind(buffer)

    picture, _ = find_pictures(camera())
    np.testing.assert_array_equal(picture.read(), as_image(kind(first)))


def test_a_damaged_file_of_a_generator_does_not_stop_the_others() -> None:
    """Pillow reads the pixels of a file only when they are needed."""
    damaged, good = find_pictures(PIL.Image.open(io.BytesIO(content)) for content in (CONTENT[:-40], CONTENT))
    with pytest.raises(InputError, match="expected a readable image"):
        damaged.read()
    np.testing.assert_array_equal(good.read(), PIXELS)


def test_a_generator_may_fill_the_same_bytes_again() -> None:
    buffer = bytearray(CONTENT)

    def camera() -> Iterator[Any]:
        yield memoryview(buffer)
        buffer[:] = bytes(len(buffer))

    (picture,) = find_pictures(camera())
    np.testing.assert_array_equal(picture.read(), PIXELS)


@pytest.mark.usefixtures("folder")
def test_missing_sources_come_in_their_place() -> None:
    pictures = list(find_pictures(["a.png", "missing.png", "", "*.gif", "b.png"]))
    assert [picture.name for picture in pictures] == ["a.png", "missing.png", "", "*.gif", "b.png"]
    for picture in pictures[1:4]:
        with pytest.raises(InputError, match=r"expected an image file, or a folder or pattern .*, got no such file"):
            picture.read()


@pytest.mark.usefixtures("folder")
def test_a_name_that_no_file_can_have_does_not_stop_others() -> None:
    """Its folder may also be one that may not be entered, which a test as root cannot show."""
    long = f"{'a' * 300}.txt"
    Path("names.txt").write_text(f"{long}\nb.png\n")
    pictures = list(find_pictures([long, Path(long), "names.txt", "a.png"]))
    assert [picture.name for picture in pictures] == [long, long, "names.txt", "b.png", "a.png"]
    for picture in (*pictures[:3], named_picture(long)):
        with pytest.raises(InputError, match="File name too long"):
            picture.read()
    assert lasting_picture(long, PIXELS) is PIXELS


def test_lines_of_a_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["c.png", "b.png", "../a.png", "http://example.org/d.png", "*.tiff", str(folder / "b.png")]
    (folder / "sub" / "list.txt").write_text("\n".join(lines))
    sources, errors = sources_of_text("sub/list.txt")
    assert [source.name for source in sources if not isinstance(source, tuple)] == [
        "sub/c.png", "b.png", "sub/../a.png", "http://example.org/d.png", str(folder / "b.png"),
    ]  # fmt: skip
    assert [str(error).split(", got ")[0][:40] for error in errors] == ["sub/list.txt:5: *.tiff: expected an imag"]
    monkeypatch.chdir(folder / "sub")
    _, errors = sources_of_text("list.txt")
    assert [str(error).split(": expected")[0] for error in errors] == ["list.txt:2: b.png", "list.txt:5: *.tiff"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "expected a list of images, got an empty one"),
        (b"# nothing\n\n", "expected a list of images, got an empty one"),
        (CONTENT, "expected a list of images in utf-8"),
        (b"list.txt\n", "1: list.txt: expected an image, an archive or a video, got a list within a list"),
    ],
)
def test_unusable_lists(content: bytes, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    sources, (error,) = sources_of_text("list.txt")
    assert sources == []
    assert str(error).startswith("list.txt:")
    assert found in str(error)


def test_a_long_name_at_an_address_keeps_its_suffix(server: Server, tmp_path: Path) -> None:
    write_zip(tmp_path / "x.zip", [("1.png", CONTENT)])
    path = f"/{'a' * 200}.zip"
    server.answers[path], address = answer((tmp_path / "x.zip").read_bytes()), server.address(path)
    (picture,) = find_pictures(address)
    np.testing.assert_array_equal(picture.read(), PIXELS)
    assert picture.name == f"{address}/1.png"


def test_an_address_is_downloaded_when_it_is_read(server: Server) -> None:
    server.answers["/deep/%C3%A4%2F..%2Fb.png?size=3"] = answer(CONTENT)
    server.answers["/page"] = answer(b"<!DOCTYPE html>")
    address = server.address("/deep/%C3%A4%2F..%2Fb.png?size=3")
    picture = named_picture(address)
    assert server.requests == []
    np.testing.assert_array_equal(picture.read(), PIXELS)
    assert (picture.name, picture.stem, picture.path) == (address, "b", None)
    with pytest.raises(InputError, match=r"/page: expected a readable image, got: a file that is not JPEG"):
        named_picture(server.address("/page")).read()
    assert named_picture("http://example.org").stem == "example"
    assert named_picture("http://[").stem == "["


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", "cat"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_"),
        ("", "_"),
        (".hidden. ", "hidden"),
        ("\0\ud800", "__"),
        ("猫" * 100, "猫" * 50),
    ],
)
def test_safe_names(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def read_from_a_process(standard_input: Any, content: bytes = b"") -> str:
    """Return what reading `-` prints in a process of its own."""
    code = """
from detection.errors import InputError
from detection.sources.pictures import named_picture
try:
    print(named_picture("-").read().tolist())
except InputError as error:
    print(error)
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(detection.__file__).parents[1],
        stdin=standard_input,
        stdout=subprocess.PIPE,
    )
    return process.communicate(content)[0].decode().strip()


def test_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(CONTENT)
    assert read_from_a_process(subprocess.PIPE, CONTENT) == str(PIXELS.tolist())
    with (tmp_path / "a.png").open() as file:
        assert read_from_a_process(file) == str(PIXELS.tolist())


def test_standard_input_that_ends_early() -> None:
    start = "standard input: expected a readable image, got: "
    assert read_from_a_process(subprocess.PIPE) == start + "an empty file"
    assert read_from_a_process(subprocess.PIPE, CONTENT[:-30]).startswith(start)


def test_standard_input_that_is_a_terminal() -> None:
    leader, follower = os.openpty()
    found = read_from_a_process(follower)
    os.close(leader)
    os.close(follower)
    assert found == "standard input: expected the bytes of an image from a pipe or a file, got a terminal"
