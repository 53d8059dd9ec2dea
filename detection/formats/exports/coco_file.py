"""Detections as annotations in a file in the format of COCO, with a `score` in each."""

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from detection.formats.exports.export import DetectedImage, FileExport
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import made_by


@dataclass(eq=False, repr=False)
class CocoFile(FileExport):
    """Writer of `images`, `annotations` and `categories`; the id of a category is the label plus 1.

    `file_name` is the path of the image from the folder of the file, so that both can be moved together.
    """

    command: ClassVar[str] = "detect"
    """The command that writes the file."""

    _images: list[dict[str, Any]] = field(default_factory=list, init=False)
    _annotations: list[dict[str, Any]] = field(default_factory=list, init=False)
    _class_names: tuple[str, ...] = field(default=(), init=False)

    def add(self, item: DetectedImage) -> None:
        height, width = item.size
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": self._file_name(item), "width": width, "height": height})
        for record in item.visible.to_coco(number):
            _, _, box_width, box_height = record["bbox"]
            more = {"id": len(self._annotations) + 1, "area": box_width * box_height, "iscrowd": 0}
            self._annotations.append(record | more)
        self._class_names = item.detections.class_names

    def finish(self) -> None:
        if not self._images:
            return
        content = {
            "info": {"description": made_by(self.command)},
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": number, "name": name} for number, name in enumerate(self._class_names, start=1)],
        }
        write_atomically(self.target, f"{json.dumps(content)}\n".encode("ascii"))
