"""The people of an annotation file."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class People(NamedTuple):
    """N people as annotated; each one becomes a sample.

    Attributes:
        names: Path of each person's image relative to the root.
        joints: float64 (N, K, 3): x and y in pixels, (0, 0) the center of the first one, and the flag: 0 not labeled,
            1 labeled but hidden, 2 labeled and visible. Labeled joints may be NaN or lie outside the image.
        centers: float64 (N, 2), center of the crop in the same pixels. None: the center of the labeled joints' box.
        sides: float64 (N,), side of the square crop in pixels; NaN if unknown. None: ``BOX_MARGIN`` times the longer
            side of the labeled joints' box.
        head_sizes: float64 (N,), in pixels, NaN if unknown. None: the skeleton's ``head_share`` of the distance of
            its ``head`` joints.
    """

    names: list[str]
    joints: NDArray[np.float64]
    centers: NDArray[np.float64] | None = None
    sides: NDArray[np.float64] | None = None
    head_sizes: NDArray[np.float64] | None = None
