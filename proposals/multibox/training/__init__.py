"""What only the training of MultiBox needs."""
