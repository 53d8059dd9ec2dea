"""The running of networks and compiled loops: devices, 8-bit integers, weights files, threads and processes."""
