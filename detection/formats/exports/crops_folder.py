"""The detected objects as pictures, in a folder for each class."""

from dataclasses import replace
from pathlib import Path

from detection.formats.exports.export import DetectedImage, FolderExport
from detection.formats.exports.picture_copies import UniqueNames, png_file
from detection.runtime.output_file import Inputs
from detection.sources.picture import safe_name


class CropsFolder(FolderExport):
    """Writer of `CLASS/IMAGE_NUMBER.png` for each detection; the numbers count the detections of an image from 1."""

    def __init__(self, target: Path, *, inputs: Inputs, overwrite: bool, begun: bool = False) -> None:
        super().__init__(target, inputs=inputs, overwrite=overwrite, begun=begun)
        self._image_names = UniqueNames()

    def add(self, item: DetectedImage) -> None:
        stem = self._image_names.take(item.name)
        detections = replace(item.visible, picture=item.image)
        for number, (name, crop) in enumerate(zip(detections.names, detections.crops(), strict=True), start=1):
            self._write_files({self.target / safe_name(name) / f"{stem}_{number}.png": png_file(crop)})

    def finish(self) -> None:
        """Do nothing, since every image is complete already."""
