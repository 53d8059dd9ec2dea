"""R-CNN's heads on a trained network: linear SVMs, and ridge regression of boxes."""
