"""Detections as a data set in the layout of YOLO: `data.yaml`, `images/` and `labels/`."""

from dataclasses import dataclass, field

import yaml

from detection.formats.exports.export import SPLIT, DetectedImage, FolderExport
from detection.formats.exports.picture_copies import UniqueNames, picture_file
from detection.runtime.output_file import made_by


@dataclass(eq=False, repr=False)
class YoloFolder(FolderExport):
    """Writer of a text file for each image, with a line `class x y width height` for each detection.

    The numbers are those of the centre and the sides, relative to the size of the image. The format has no place for
    scores. The pictures are copied, because readers look for the text files beside the folder of the pictures.
    """

    _unique_names: UniqueNames = field(default_factory=UniqueNames, init=False)
    _has_settings: bool = field(default=False, init=False)

    def add(self, item: DetectedImage) -> None:
        if not self._has_settings:
            self._write_settings(item.detections.class_names)
            self._has_settings = True
        stem = self._unique_names.take(item.name)
        suffix, content = picture_file(item)
        height, width = item.size
        detections = item.visible
        x1, y1, x2, y2 = detections.boxes.astype(float).T
        columns = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows = zip(detections.labels.tolist(), *(column.tolist() for column in columns), strict=True)
        lines = [f"{label} {x:.9f} {y:.9f} {w:.9f} {h:.9f}\n" for label, x, y, w, h in rows]
        labels = "".join(lines).encode("ascii")
        # The picture comes last, because without its text file it would be one without objects.
        files = {f"labels/{stem}.txt": labels, f"images/{stem}{suffix}": content}
        self._write_files({self.target / name: content for name, content in files.items()})

    def finish(self) -> None:
        """Do nothing, since every image is complete already."""

    def _write_settings(self, class_names: tuple[str, ...]) -> None:
        settings = {SPLIT: "images", "nc": len(class_names), "names": list(class_names)}
        text = f"# {made_by('detect')}\n{yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)}"
        self._write_files({self.target / "data.yaml": text.encode()})
