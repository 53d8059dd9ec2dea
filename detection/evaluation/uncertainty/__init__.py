"""How far a score would vary over other images: bootstrap intervals and comparisons."""
