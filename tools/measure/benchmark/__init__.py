"""Measure speed against named baselines in the same run."""
