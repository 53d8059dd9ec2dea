"""The images of a data set, wherever they lie: `listing` lists them, and `pictures` reads those of a partition.

Both use `stores`, which opens files of this machine and of object stores, `archives` for zip and tar archives, and
`parquet` for tables with images.
"""
