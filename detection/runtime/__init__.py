"""How networks and compiled loops run: devices, 8-bit integers, weights files, threads and processes."""
