"""Measure variants of a detector on one split."""
