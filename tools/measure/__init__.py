"""Commands that measure detectors, proposals, classifiers and speed."""
