"""Intervals of scores over other images, by the bootstrap, and comparisons of two results."""
