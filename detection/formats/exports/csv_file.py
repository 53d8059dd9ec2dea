"""Detections as a table, as `detection.datasets.CSVTable` reads it, with a column `score`."""

import csv
import io
from dataclasses import dataclass, field

from detection.formats.exports.export import DetectedImage, FileExport
from detection.formats.exports.inclusive_corners import inclusive_corners
from detection.runtime.atomic_write import write_atomically

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "score")


@dataclass(eq=False, repr=False)
class CsvFile(FileExport):
    """Writer of a line for each detection, and of one without class and corners for an image without detections.

    `filename` is the path of the image from the folder of the table. Corners count pixels from 1 and include the last
    one, as in the XML of PASCAL VOC, from which most tables of this form are made.
    """

    _text: io.StringIO = field(default_factory=io.StringIO, init=False)

    def add(self, item: DetectedImage) -> None:
        writer = csv.writer(self._text, lineterminator="\n")
        if not self._text.tell():
            writer.writerow(COLUMNS)
        height, width = item.size
        start = (self._file_name(item), width, height)
        detections = item.visible
        rows = zip(detections.names, inclusive_corners(detections.boxes), detections.scores.tolist(), strict=True)
        lines = [(*start, name, *corners, round(score, 6)) for name, corners, score in rows]
        writer.writerows(lines or [(*start, *[""] * 6)])

    def finish(self) -> None:
        if text := self._text.getvalue():
            write_atomically(self.target, text.encode(errors="backslashreplace"))  # a file name may be no valid text
