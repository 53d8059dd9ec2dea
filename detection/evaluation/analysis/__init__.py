"""Where a detector is good and where it fails."""
