"""Layers that compute in kernels of our own on a GPU."""
