"""Classification of whole images: no boxes and no background."""
