"""The scale of the pixel values that the networks read: `(pixel - MEAN_RGB) * SCALE`, of mean 0 and variance 1."""

MEAN_RGB = (122.7, 116.7, 104.0)
"""The mean colour of ImageNet that the Caffe models subtract, in RGB order."""

SCALE = 1 / 58
"""One divided by the standard deviation of ImageNet's pixels, which is about 58 in each channel."""
