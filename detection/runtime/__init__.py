"""How networks and compiled loops run: the device, 8-bit integers, weights files, threads and processes."""
