"""Recall of proposals: the share of objects that some of the first N boxes of an image cover."""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError
from lit_cv.metrics.base import ImageMetric, ImageRecord, gather
from lit_cv.metrics.facts import SHARE, Fact
from lit_cv.ops.iou import pairwise_iou

THRESHOLDS = (0.5, 0.7)
LIMITS = (10, 30, 100, 300, 1000, 2000)


class ProposalRecall(ImageMetric):
    """Recall against the number of proposals (Hosang et al. 2016, section 4.1).

    ``compute`` returns floats in [0, 1], NaN without objects: ``recall_<IoU>_at_<N>`` is the share of objects that have
    an IoU of at least the threshold with one of the N proposals of the highest score of their image. Classes do not
    matter. Difficult objects and crowds do not count.

    Args:
        part: Number of the part of the images that counts, in [0, parts).
        parts: Number of parts: image i belongs to part ``i % parts``.

    Attributes:
        FACTS: Unit and direction of each number of ``compute``.
    """

    FACTS: ClassVar[dict[str, Fact]] = {
        f"recall_{round(100 * threshold)}_at_{limit}": SHARE for threshold in THRESHOLDS for limit in LIMITS
    }

    def __init__(self, part: int = 0, parts: int = 1) -> None:
        super().__init__()
        if not 0 <= part < parts:
            raise UserError(f"part={part} of parts={parts}: there is no such part; give one from 0 to parts - 1.")
        self.part, self.parts = part, parts

    def compute(self) -> dict[str, float]:
        """Evaluate all images of the part since the last reset, on all ranks."""
        records = gather(self.images, key=lambda record: record.image_id)
        covered = [_best(record) for record in records if record.image_id % self.parts == self.part]
        overlaps = np.concatenate([np.zeros((len(LIMITS), 0)), *covered], axis=1)
        reached = [(row >= threshold).mean() if row.size else math.nan for threshold in THRESHOLDS for row in overlaps]
        return dict(zip(self.FACTS, map(float, reached), strict=True))


def _best(record: ImageRecord) -> NDArray[Any]:
    """Return the highest IoU of each counted object with the first proposals, (limits, objects)."""
    counted = ~(record.wanted["difficult"].astype(bool) | record.wanted["iscrowd"].astype(bool))
    objects = record.wanted["boxes"].reshape(-1, 4)[counted].astype(np.float64)
    order = np.argsort(-record.found["scores"], kind="stable")
    overlap = pairwise_iou(objects, record.found["boxes"].reshape(-1, 4)[order].astype(np.float64))
    return np.stack([overlap[:, :limit].max(axis=1, initial=0.0) for limit in LIMITS])
