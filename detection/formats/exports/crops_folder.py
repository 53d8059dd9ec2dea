"""The detected objects as pictures, in a folder for each class."""

from dataclasses import dataclass, field

from detection.formats.exports.export import DetectedImage, FolderExport
from detection.formats.exports.picture_copies import UniqueNames, png_file
from detection.sources.picture import safe_name


@dataclass(eq=False, repr=False)
class CropsFolder(FolderExport):
    """Writer of `CLASS/IMAGE_NUMBER.png` for each detection; the numbers count the detections of an image from 1."""

    _image_names: UniqueNames = field(default_factory=UniqueNames, init=False)

    def add(self, item: DetectedImage) -> None:
        stem = self._image_names.take(item.name)
        detections = item.visible.in_picture(item.image)
        for number, (name, crop) in enumerate(zip(detections.names, detections.crops(), strict=True), start=1):
            self._write_files({self.target / safe_name(name) / f"{stem}_{number}.png": png_file(crop)})

    def finish(self) -> None:
        """Do nothing, since every image is complete already."""
