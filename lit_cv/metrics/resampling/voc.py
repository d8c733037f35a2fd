"""Pascal VOC's mAP of resampled images."""

from collections.abc import Sequence

import numpy as np

from lit_cv.metrics.base import Evaluation
from lit_cv.metrics.resampling.ranked import Ranking, Rankings, at_recalls
from lit_cv.metrics.voc import ELEVEN_RECALLS, judge


def voc_rankings(
    evaluation: Evaluation, labels: Sequence[int], iou_threshold: float = 0.5, *, eleven_points: bool = False
) -> Rankings:
    """Match predictions to targets as ``VOCAveragePrecision`` does.

    Args:
        evaluation: All images.
        labels: Classes of the mean.
        iou_threshold: Lowest IoU of a match.
        eleven_points: The rule of VOC2007 in place of the area under the curve.
    """
    order = np.argsort(-evaluation.found["scores"], kind="stable")
    found_labels, hits, counted = judge(evaluation, order, iou_threshold)
    images, scores = evaluation.found["image"][order], evaluation.found["scores"][order]
    wanted = {name: column[~evaluation.wanted["difficult"]] for name, column in evaluation.wanted.items()}
    rankings, positives = [], np.zeros((len(labels), len(evaluation.image_ids)), dtype=np.int64)
    for number, label in enumerate(labels):
        mine = (found_labels == label) & counted
        np.add.at(positives[number], wanted["image"][wanted["labels"] == label], 1)
        rankings.append(Ranking.of(images[mine], hits[mine], scores[mine], number))
    return Rankings(rankings, positives, at_recalls(ELEVEN_RECALLS) if eleven_points else "area")
