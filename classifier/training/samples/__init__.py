"""Training samples: which regions of which images, with which labels."""
