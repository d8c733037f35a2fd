"""The overlap of boxes with the anchors of a network, without computing a feature."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.models.detection.anchors import Anchored
from lit_cv.models.images import Size, fit_size
from lit_cv.models.network import Network
from lit_cv.models.resizing import FittedImages, SquareImages
from lit_cv.ops.boxes import pairwise_iou

ROWS = 64  # boxes that are compared with all anchors at once


class AnchorFit:
    """Compares boxes with the anchors of a network.

    The shapes of the feature maps are found on PyTorch's device ``meta``, which has no numbers.

    Args:
        network: An ``Anchored`` network; it moves to ``meta`` and is of no further use.
    """

    def __init__(self, network: Network) -> None:
        self.network = network.to("meta")
        self._anchors: dict[Size, Tensor] = {}

    def __call__(self, sizes: NDArray[Any], boxes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the best IoU of each box with an anchor, float64 (M,).

        Args:
            sizes: (M, 2), width and height of the picture of each box.
            boxes: (M, 4), xyxy in pixels of the picture.
        """
        best = np.zeros(len(boxes))
        kinds, kind = np.unique(sizes, axis=0, return_inverse=True)
        for number, (width, height) in enumerate(kinds.astype(int).tolist()):
            (new_height, new_width), padded = self._resized((height, width))
            scale = torch.tensor([new_width / width, new_height / height]).repeat(2)
            rows = np.flatnonzero(kind.reshape(-1) == number)
            for part in np.array_split(rows, -(-len(rows) // ROWS)):
                scaled = torch.from_numpy(boxes[part].astype(np.float32)) * scale
                best[part] = pairwise_iou(scaled, self._anchors_of(padded)).amax(dim=1).numpy()
        return best

    def _resized(self, size: Size) -> tuple[Size, Size]:
        """Return the size to which the network resizes an image, and that of its padded batch, height and width."""
        match self.network:
            case SquareImages(size=side):
                return (side, side), (side, side)
            case FittedImages(eval_min_size=int(shorter), max_size=longer):
                size = fit_size(size, shorter, longer)
        step = getattr(self.network, "divisible", 1)
        return size, (-(-size[0] // step) * step, -(-size[1] // step) * step)

    @torch.no_grad()
    def _anchors_of(self, size: Size) -> Tensor:
        if size not in self._anchors:
            assert isinstance(self.network, Anchored)
            pixels = torch.empty((1, 3, *size), dtype=self.network.dtype, device="meta")
            self._anchors[size] = self.network.anchors_on(pixels)
        return self._anchors[size]
