"""Detections as a table, as `detection.datasets.CSVTable` reads it, with a column `score`."""

import csv
import io
from pathlib import Path

from detection.formats.exports.export import DetectedImage, FileExport
from detection.formats.exports.inclusive_corners import inclusive_corners
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import Inputs

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "score")


class CsvFile(FileExport):
    """Writer of a line for each detection, and of one without class and corners for an image without detections.

    `filename` is the path of the image from the folder of the table. Corners count pixels from 1 and include the last
    one, as in the XML of PASCAL VOC, from which most tables of this form are made.
    """

    def __init__(self, target: Path, *, inputs: Inputs, overwrite: bool, begun: bool = False) -> None:
        super().__init__(target, inputs=inputs, overwrite=overwrite, begun=begun)
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")

    def add(self, item: DetectedImage) -> None:
        if not self._text.tell():
            self._writer.writerow(COLUMNS)
        height, width = item.size
        start = (self._file_name(item), width, height)
        detections = item.visible
        rows = zip(detections.names, inclusive_corners(detections.boxes), detections.scores.tolist(), strict=True)
        lines = [(*start, name, *corners, round(score, 6)) for name, corners, score in rows]
        self._writer.writerows(lines or [(*start, *[""] * 6)])

    def finish(self) -> None:
        if text := self._text.getvalue():
            write_atomically(self.target, text.encode(errors="backslashreplace"))  # a name may be no valid text
