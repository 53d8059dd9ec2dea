"""The results of `detect-dataset`: a folder with parquet files, a partition of the images each, and a manifest.

`partition` writes and reads the parquet files, `manifest` the list of finished partitions, and `reader` turns all of
them into the detections of a split, which can be scored.
"""
