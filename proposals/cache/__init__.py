"""The cache of proposals: those of a data set, made once by `detect-propose` and read many times."""

from proposals.cache.reader import CacheFile

__all__ = ["CacheFile"]
