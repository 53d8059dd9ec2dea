"""Names for the types of arrays that functions take and return."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB, [H, W, 3]."""
FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
