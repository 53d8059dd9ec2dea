"""What a training command runs: read `training_run.py` first."""
