"""Readers and writers of the files of ground truth and detections.

`detections.read_detections` recognises the format of a file. Each format has its own module: submissions to ILSVRC,
COCO's results, VOC's comp4 files, the JSON of the command `detect`, the results of `detect-evaluate run`, and the
parquet files of `detect-dataset`. `ground_truth` reads and writes ground truth, and `plausibility` warns of probable
mistakes in either. The package `exports` writes detections as annotated data sets, for annotation programs and for
training.
"""
