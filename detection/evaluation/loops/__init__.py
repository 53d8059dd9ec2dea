"""Compiled loops over the objects and detections of a split, which the parent package imports when it scores."""
