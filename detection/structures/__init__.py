"""What the parts of the project hand to each other: boxes, detections, ground truth, and columns of a whole split."""
