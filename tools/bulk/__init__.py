"""Detect in a data set of any size: the command `detect-dataset`, on one machine or on a cluster of Ray.

`inputs` lists the images of folders, archives, parquet files and object stores, and `plan` divides the list into
partitions. An engine detects in them: `local_engine` in this process, `ray_engine` on the machines of a cluster.
`output` writes each partition when all of its images are there, so that an interrupted command goes on.
"""
