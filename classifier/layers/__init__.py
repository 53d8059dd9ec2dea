"""Layers of the networks that PyTorch does not have, or not fast enough."""
