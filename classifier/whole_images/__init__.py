"""Classification of whole images, without boxes and background."""
