"""Region classifiers: warping, networks, training data and the scoring of regions."""
