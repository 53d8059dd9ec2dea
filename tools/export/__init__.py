"""Export the networks of a detector to files that other programs compute."""
