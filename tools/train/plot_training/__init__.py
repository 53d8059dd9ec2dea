"""Draw the curves of training runs."""
