"""Detections as a page for a browser: all photos with their boxes, to look through."""
