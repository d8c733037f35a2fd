"""The masks of COCO's annotations: polygons and run-length encodings become runs of pixels, as pycocotools has them."""

from collections.abc import Iterable

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lit_cv.ops.rle import decompress_runs


def polygon_runs(polygons: Iterable[NDArray[np.float64]], height: int, width: int) -> NDArray[np.int64]:
    """The runs of the union of polygons, column by column as COCO counts them, int64 (R,).

    Args:
        polygons: Each x and y of its corners in turn, float64 (2K,), in pixels, K >= 3.
        height: Of the image in pixels.
        width: Likewise.
    """
    pieces = [hotcoco.mask.fr_poly(polygon.tolist(), height, width) for polygon in polygons]
    return decompress_runs(hotcoco.mask.merge(pieces)["counts"])
