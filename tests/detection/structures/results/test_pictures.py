"""The pictures that `Detections` returns, writes and shows."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from detection.errors import InputError
from detection.image import read_image
from detection.structures.detections import Detections
from detection.structures.results.drawing import draw_detections
from tests.detection.structures.results.drawing_examples import detected, photo

IMAGE = photo(120, 160)
OBJECTS = detected([(40, 40, 120, 100), (-5, 110, 10.4, 130), (160, 0, 170, 9)], [0.75, 0.5, 0.25], [0, 1, 2])


def known(picture: Any = IMAGE) -> Detections:
    return replace(OBJECTS, picture=picture)


def test_plot_draws_the_boxes() -> None:
    before = IMAGE.copy()
    expected = draw_detections(IMAGE, OBJECTS)
    np.testing.assert_array_equal(np.asarray(known().plot()), expected)
    np.testing.assert_array_equal(np.asarray(known(PIL.Image.fromarray(IMAGE)).plot()), expected)
    np.testing.assert_array_equal(IMAGE, before)


def test_crops_have_the_pixels_of_the_boxes() -> None:
    first, second, third = known().crops()
    np.testing.assert_array_equal(first, IMAGE[40:100, 40:120])
    np.testing.assert_array_equal(second, IMAGE[110:120, 0:10])  # cut off at the border
    np.testing.assert_array_equal(third, IMAGE[0:9, 159:160])  # outside: the nearest pixels
    assert not np.shares_memory(first, IMAGE)  # so that a crop does not keep the whole picture in memory
    assert known()[:0].crops() == []


def test_without_a_picture() -> None:
    for method in (OBJECTS.plot, OBJECTS.show, OBJECTS.crops, lambda: OBJECTS.save("a.png")):
        with pytest.raises(ValueError, match="do not know their picture"):
            method()


def test_show_opens_the_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[PIL.Image.Image] = []
    monkeypatch.setattr(PIL.Image.Image, "show", lambda image: shown.append(image))  # noqa: PLW0108  becomes a method
    known().show()
    np.testing.assert_array_equal(np.asarray(shown[0]), draw_detections(IMAGE, OBJECTS))


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg", "a.webp", "a.bmp", "a.tif"])
def test_save_writes_any_format(name: str, tmp_path: Path) -> None:
    known().save(tmp_path / name)
    saved = read_image(tmp_path / name)
    assert saved.shape == IMAGE.shape
    if Path(name).suffix.lower() not in (".jpg", ".webp"):
        np.testing.assert_array_equal(saved, draw_detections(IMAGE, OBJECTS))


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_save_replaces_its_own_file_only(name: str, tmp_path: Path) -> None:
    target = tmp_path / name
    PIL.Image.fromarray(IMAGE).save(target)
    before = target.read_bytes()
    with pytest.raises(InputError, match=r"was not written by this command; .* use overwrite=True"):
        known().save(target)
    assert target.read_bytes() == before
    known().save(target, overwrite=True)
    assert target.read_bytes() != before
    known()[:1].save(target)  # is known as its own now
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_save_never_replaces_the_picture_itself(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    PIL.Image.fromarray(IMAGE).save(source)
    before = source.read_bytes()
    with pytest.raises(InputError, match="which the command reads"):
        known(source).save(source, overwrite=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["a", "a.txt", "a.csv"])
def test_save_wants_the_suffix_of_a_picture(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name}: expected a name with the suffix of a picture"):
        known().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_gone(tmp_path: Path) -> None:
    detections = known(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match=r"gone\.jpg: expected a readable image"):
        detections.plot()
    html = detections._repr_html_()
    assert "3 objects: cat 0.75" in html
    assert "gone.jpg" in html


def test_notebooks_show_the_picture_and_the_summary() -> None:
    large = known(photo(1000, 2000))
    html = large._repr_html_()
    match = re.search('src="data:image/jpeg;base64,([^"]+)"', html)
    assert match
    with PIL.Image.open(io.BytesIO(base64.b64decode(match[1]))) as picture:
        assert picture.size == (800, 400)
    assert "3 objects: cat 0.75, dog 0.50, person 0.25" in html


def test_names_in_a_notebook_are_text() -> None:
    detections = detected([(0, 0, 9, 9)], [0.5], [0], ["<script>"])
    assert "<script>" not in detections._repr_html_()
    assert "&lt;script&gt; 0.50" in detections._repr_html_()
