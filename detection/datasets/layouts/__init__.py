"""Folders of labelled pictures in any common layout: recognised, split, checked and summarised.

`labelled_folder.LabelledFolder` is the reader. `recognise` calls the finders of the layouts in `coco_files`,
`voc_files`, `yolo_files`, `csv_files` and `class_folders`. `splits` completes the splits, and `summary` describes the
result.
"""

from detection.datasets.layouts.labelled_folder import LabelledFolder
from detection.datasets.layouts.summary import DataSummary, summarise

__all__ = ["DataSummary", "LabelledFolder", "summarise"]
