"""Dense captioning's AP of resampled images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics.densecap import IOUS, METEORS, Judged, box_part, part
from lit_cv.metrics.resampling.ranked import Ranking, Rankings
from lit_cv.metrics.resampling.resample import Matches
from lit_cv.metrics.resampling.sums import Sums, quotient


def caption_matches(judged: Sequence[Judged], name: str) -> Matches:
    """Reduce judged images to one number.

    Args:
        judged: All images, in ascending order of ``image_id``; see ``DenseCaptionAP.judge``.
        name: Number of ``DenseCaptionAP.compute`` without the prefix of the measure: ``densecap_map``, ``box_map``, one
            of their parts, or ``meteor``.
    """
    if name == "meteor":
        states = np.array([[image.meteors.sum(), len(image.meteors)] for image in judged]).reshape(-1, 2)
        return Sums(states, quotient)
    pairs = [(iou, meteor) for iou in IOUS for meteor in METEORS if name in ("densecap_map", part("", iou, meteor))]
    limits = pairs or [(iou, -np.inf) for iou in IOUS if name in ("box_map", box_part(iou))]
    columns = {
        column: np.concatenate([getattr(image, column) for image in judged] or [np.zeros(0)])
        for column in ("scores", "ious", "takes", "meteors")
    }
    images = np.repeat(np.arange(len(judged)), [len(image.scores) for image in judged])
    order = np.argsort(-columns["scores"], kind="stable")
    scores, ious, takes, meteors = (column[order] for column in columns.values())
    rankings = [
        Ranking.of(images[order], takes.astype(np.bool_) & (ious >= iou) & (meteors > meteor), scores, 0)
        for iou, meteor in limits
    ]
    return Rankings(rankings, np.array([[image.targets for image in judged]], dtype=np.int64), _needed)


def _needed(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    # in integers, as `average_precision` has it
    least: NDArray[np.int64] = -(-np.arange(101) * targets[:, None] // 100)
    return least
