"""Commands for data sets: check a data set, split it into halves, and compute the proposals of its images."""
