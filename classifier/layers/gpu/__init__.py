"""Our own GPU kernels, in Triton, and the packed images that tensor cores read."""
