"""Programs around the detector: `python -m tools.<name> --help`."""
