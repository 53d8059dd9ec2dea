"""The data that parts of the project pass to each other: boxes, proposals, detections, ground truth, whole splits."""
