"""How loaded networks score the regions of images."""
