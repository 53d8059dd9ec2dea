"""What the benchmarks compare with: other detectors, other programs for evaluation, other engines."""
