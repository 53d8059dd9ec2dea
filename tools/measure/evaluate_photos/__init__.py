"""Measure how often a detector names what a photo shows."""
