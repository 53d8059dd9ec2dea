"""Measure detectors on a split."""
