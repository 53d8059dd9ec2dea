"""Writes the page: the pictures are stored while images arrive, and the page is put together at the end."""

import io
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar

from detection.formats.exports.export import DetectedImage, FileExport
from detection.formats.web_page.page import build_page, class_colours, picture_uri
from detection.runtime.atomic_write import atomic_path
from detection.runtime.output_file import is_marked_page, made_by, require_replaceable

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = ("filters.js", "large_view.js", "gallery.js")

COMMAND = "detect"
"""The name of the command in the page, by which the command recognises the page the next time."""

PLACE_OF_PICTURES = b"<!-- pictures -->"
"""The comment in the template that the pictures replace. No text in the data can contain it, because the character <
is replaced there."""


@dataclass(eq=False, repr=False)
class Gallery(FileExport):
    """Writer of a page with small pictures of all photos, whose boxes the browser draws.

    Nobody corrects a page, so the command replaces its own ones, unlike other exports. The pictures wait in a temporary
    file without a name in the folder of the page, so that memory holds none of them. If that folder is full, `finish`
    raises the error.
    """

    may_be_edited: ClassVar[bool] = False

    _photos: list[dict[str, Any]] = field(default_factory=list, init=False)
    _class_names: tuple[str, ...] = field(default=(), init=False)
    _failures: list[str] = field(default_factory=list, init=False)
    _pictures: IO[bytes] | None = field(default=None, init=False)
    _error: OSError | None = field(default=None, init=False)

    def add(self, item: DetectedImage) -> None:
        """Store a small version of the photo, and keep its detections."""
        if self._error is None:
            element = f'<script type="text/plain" id="picture-{len(self._photos)}">{picture_uri(item.image)}</script>\n'
            try:
                self._store(element)
            except OSError as error:  # `finish` raises it
                self._error = error
        self._photos.append(describe_photo(item))
        self._class_names = item.detections.class_names

    def add_failure(self, line: str) -> None:
        """Name a photo that could not be read at the top of the page."""
        self._failures.append(line)

    def finish(self) -> None:
        """Write the page, unless there is no photo at all."""
        if not self._photos:
            return
        detected = {detection["class"] for photo in self._photos for detection in photo["detections"]}
        classes = [row for row in class_colours(self._class_names) if row[0] in detected]
        page = build_page(
            ASSETS / "gallery.html",
            style=ASSETS / "gallery.css",
            scripts=[ASSETS / name for name in SCRIPTS],
            data={"photos": self._photos, "classes": classes, "warnings": self._failures},
            made_by=made_by(COMMAND),
        )
        before, _, after = page.encode("utf-8").partition(PLACE_OF_PICTURES)
        with self._pictures or io.BytesIO() as pictures, atomic_path(self.target) as temporary:
            if self._error is not None:
                raise self._error
            with temporary.open("wb") as file:
                pictures.seek(0)
                file.write(before)
                shutil.copyfileobj(pictures, file)
                file.write(after)

    def _store(self, element: str) -> None:
        if self._pictures is None:
            is_device = self.target.exists() and not self.target.is_file()
            folder = None if is_device else self.target.resolve().parent
            self._pictures = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  `finish` closes it
        self._pictures.write(element.encode("ascii"))

    def _check_file(self, path: Path) -> None:
        recognise = partial(is_marked_page, command=COMMAND)
        require_replaceable(path, recognise, inputs=self.inputs, overwrite=self.overwrite)


def describe_photo(item: DetectedImage) -> dict[str, Any]:
    """Return what the page shows of a photo, for JSON.

        {"image": name, "size": [height, width], "detections": [{"class": name, "score": x, "box": [...]}, ...]}

    A box is x, y, width and height, as in SVG, and unlike in a record of `detect --json`.
    """
    detections = [
        {"class": record["class"], "score": round(record["score"], 4), "box": _xywh(record["box"])}
        for record in item.detections.to_dict()
    ]
    return {"image": item.name, "size": list(item.size), "detections": detections}


def _xywh(corners: Iterable[float]) -> list[float]:
    """Return a box of two corners as x, y, width and height, rounded to a tenth of a pixel."""
    x1, y1, x2, y2 = corners
    return [round(side, 1) for side in (x1, y1, x2 - x1, y2 - y1)]
