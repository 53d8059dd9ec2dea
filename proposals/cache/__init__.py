"""The proposals of a data set, made once and read many times."""

from proposals.cache.reader import CacheFile

__all__ = ["CacheFile"]
