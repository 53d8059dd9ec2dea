"""Score regions with networks that were trained; `score` has the loop, `loaded_network` a network on its device."""
