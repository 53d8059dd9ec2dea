"""Detections as a data set in the layout of YOLO: `data.yaml`, `images/` and `labels/`."""

from pathlib import Path

import yaml

from detection.formats.exports.export import SPLIT, DetectedImage, FolderExport
from detection.formats.exports.picture_copies import PictureCopies
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import Inputs, made_by


class YoloFolder(FolderExport):
    """Writer of a text file for each image, with a line `class x y width height` for each detection.

    The numbers are those of the centre and the sides, relative to the size of the image. The format has no place for
    scores. The pictures are copied, because readers look for the text files beside the folder of the pictures.
    """

    def __init__(self, target: Path, *, inputs: Inputs, overwrite: bool) -> None:
        super().__init__(target, inputs=inputs, overwrite=overwrite)
        self._copies = PictureCopies(target / "images", self._check_file)
        self._has_settings = False

    def add(self, item: DetectedImage) -> None:
        if not self._has_settings:
            self._write_settings(item.detections.class_names)
        picture = self._copies.choose(item)
        height, width = item.size
        detections = item.visible
        x1, y1, x2, y2 = detections.boxes.astype(float).T
        columns = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows = zip(detections.labels.tolist(), *(column.tolist() for column in columns), strict=True)
        lines = [f"{label} {x:.9f} {y:.9f} {w:.9f} {h:.9f}\n" for label, x, y, w, h in rows]
        target = self.target / "labels" / f"{picture.stem}.txt"
        self._check_file(target)
        write_atomically(target, "".join(lines).encode("ascii"))
        self._copies.write(item, picture)  # last: without its text file, the picture would be one without objects

    def finish(self) -> None:
        """Do nothing, since every image is complete already."""

    def _write_settings(self, class_names: tuple[str, ...]) -> None:
        target = self.target / "data.yaml"
        self._check_file(target)
        settings = {SPLIT: "images", "nc": len(class_names), "names": list(class_names)}
        text = f"# {made_by('detect')}\n{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}"
        write_atomically(target, text.encode())
        self._has_settings = True
