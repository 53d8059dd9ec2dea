"""Measure the share of the annotated objects that proposals find."""
