"""The polygons of COCO's annotations as runs of pixels, equal to those of pycocotools."""

from collections.abc import Iterable

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.rle import decompress_runs


def polygon_runs(polygons: Iterable[NDArray[np.float64]], height: int, width: int) -> NDArray[np.int64]:
    """Return the runs of the union of polygons, in COCO's column-by-column order, int64 (R,).

    Args:
        polygons: For each polygon, x and y of its corners in turn, float64 (2K,), in pixels, K >= 3.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
    """
    pieces = [hotcoco.mask.fr_poly(polygon.tolist(), height, width) for polygon in polygons]
    return decompress_runs(hotcoco.mask.merge(pieces)["counts"])
