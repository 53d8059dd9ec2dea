"""From the options of a training command to what its run consists of."""
