"""The training of MultiBox: priors, mosaics of several pictures, batches, and the Lightning module with the loss."""
