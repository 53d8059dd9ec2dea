"""The baselines of the benchmarks: other detectors, other programs for evaluation, other engines."""
