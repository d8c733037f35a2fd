"""Dropout whose mask does not depend on the number of processes."""

from torch import Tensor, nn

from lit_cv.ops.global_batch import first_row
from lit_cv.ops.global_random import uniform


class Dropout(nn.Dropout):
    """``nn.Dropout`` for rows (N, ...) of the global batch: images, regions or phrases, in the order of the images."""

    def forward(self, x: Tensor) -> Tensor:
        """Set each unit to zero with probability ``p`` in training and scale the others by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        kept = uniform(x.shape, x.device, first_row(len(x), x.device)) >= self.p
        return x * kept / (1 - self.p)
