"""The runs of the training commands. Read `training_run.py` first."""
