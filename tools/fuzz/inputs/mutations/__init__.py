"""Random changes of files: of their bytes, of the parts of image files, of text, and of trees of values."""
