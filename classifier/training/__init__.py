"""What only the training of classifiers needs."""
