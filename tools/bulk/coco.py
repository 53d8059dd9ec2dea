"""The results of `detect-dataset` as annotations in a file in the format of COCO."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from detection.formats.dataset_results.manifest import COMMAND, Manifest
from detection.formats.dataset_results.partition import read_partition, table_rows
from detection.formats.exports.coco_file import CocoFile
from detection.formats.exports.export import DetectedImage
from detection.structures.detections import Detections


class DataSetFile(CocoFile):
    """Writer of the detections in a data set; `file_name` is the key of an image, which need not be a path."""

    command = COMMAND

    def write(self, folder: Path, manifest: Manifest) -> None:
        """Write the images of a folder of results that have no error, with their detections.

        Raises:
            InputError: naming the file that cannot be read or written.
        """
        for number in sorted(manifest.finished):
            for row in table_rows(read_partition(folder, number)):
                if row.size is not None:
                    image = np.broadcast_to(np.uint8(0), (*row.size, 3))  # only its size is written
                    detections = Detections(row.boxes, row.scores, row.labels, manifest.class_names)
                    self.add(DetectedImage(row.key, image, detections))
        self.finish()

    def _file_name(self, item: DetectedImage) -> str:
        return item.name
