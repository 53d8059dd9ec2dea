"""R-CNN's linear SVMs and ridge regression of boxes."""
