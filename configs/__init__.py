"""The wiring of detectors and runs, as YAML; this file makes the folder a package, so that it is installed."""
