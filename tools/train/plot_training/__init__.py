"""The command `detect-plot-training`, which draws the curves of training runs."""
