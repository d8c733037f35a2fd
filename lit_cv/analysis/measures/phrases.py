"""Errors of dense captions: the AP matrix, what becomes of the regions, and the best and worst phrases."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_cv.metrics import DenseCaptionAP
from lit_cv.metrics.densecap import IOUS, METEORS, PREFIXES, Measure, assign, box_part, merge_boxes, part

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
Numbers = NDArray[np.float64]
IOU, METEOR = 0.5, 0.15  # middle thresholds of the matrix
KINDS = ("described", "wrong phrase", "wrong box", "missed")


class Phrase(NamedTuple):
    """A predicted phrase whose region has taken a target region.

    Attributes:
        text: The phrase.
        references: The phrases of the target region.
        meteor: METEOR of the phrase against them.
        iou: IoU of the two regions.
        image_id: The image.
    """

    text: str
    references: tuple[str, ...]
    meteor: float
    iou: float
    image_id: int


@dataclass(frozen=True)
class Captions:
    """Dense captions of N images.

    Attributes:
        metrics: The numbers of ``DenseCaptionAP``, as ``val/`` logs them.
        prefix: Start of the names of numbers that depend on the measure of phrases.
        matrix: float64 (5, 6), AP at each threshold of IoU (row) and METEOR (column).
        boxes: float64 (5,), AP of the boxes alone at each IoU.
        image_ids: int64 (N,).
        kinds: int64 (N, 4), target regions of each image by ``KINDS``: taken by a prediction with IoU >= ``IOU`` and a
            phrase with METEOR > ``METEOR``; with such an IoU, but a worse phrase; with a lower IoU; by no prediction.
        taken: Phrases of the regions with such an IoU, in the order of images and scores.
        counts: How often each phrase is predicted.
    """

    metrics: dict[str, float]
    prefix: str
    matrix: Numbers
    boxes: Numbers
    image_ids: NDArray[np.int64]
    kinds: NDArray[np.int64]
    taken: list[Phrase]
    counts: Counter[str]

    def best(self, most: int) -> list[Phrase]:
        """Return the phrases with the highest METEOR, each text once; ties: the better region."""
        return _distinct(sorted(self.taken, key=lambda phrase: (-phrase.meteor, -phrase.iou)), most)

    def worst(self, most: int) -> list[Phrase]:
        """Return the phrases with the lowest METEOR, each text once; ties: the better region."""
        return _distinct(sorted(self.taken, key=lambda phrase: (phrase.meteor, -phrase.iou)), most)


def read_captions(images: Iterable[Pair], measure: Measure) -> Captions:
    """Assign described regions to target regions as ``DenseCaptionAP`` does, and score their phrases once.

    Args:
        images: Predictions with ``boxes``, ``scores`` and ``phrases``; targets with ``boxes`` and ``phrases``.
        measure: Measure of phrases, see ``DenseCaptionAP``.

    Raises:
        UserError: See ``DenseCaptionAP``.
        ValueError: See ``DenseCaptionAP.update``.
    """
    metric = DenseCaptionAP(measure)
    for found, target in images:
        metric.update([found], [target])
    metrics, prefix = metric.compute(), PREFIXES[measure]
    kinds, taken, counts = [], [], Counter[str]()
    for record, judged in zip(metric.images, metric.judge(), strict=True):
        boxes, references = merge_boxes(record.wanted["boxes"], record.wanted["phrases"])
        order = np.argsort(-record.found["scores"], kind="stable")
        best = assign(record.found["boxes"][order], boxes)[1]
        texts = record.found["phrases"][order].tolist()
        counts.update(texts)
        placed = judged.takes & (judged.ious >= IOU)
        right = int((placed & (judged.meteors > METEOR)).sum())
        kinds.append([right, int(placed.sum()) - right, int((judged.takes & ~placed).sum()),
                      judged.targets - int(judged.takes.sum())])  # fmt: skip
        rows = np.flatnonzero(placed).tolist()
        values = zip(judged.meteors.tolist(), judged.ious.tolist(), strict=True)
        scored = list(values)
        taken += [Phrase(texts[row], references[best[row]], *scored[row], record.image_id) for row in rows]
    parts = [[metrics[part(prefix, iou, score)] for score in METEORS] for iou in IOUS]
    boxes_alone = [metrics[box_part(iou)] for iou in IOUS]
    ids = np.array([record.image_id for record in metric.images], dtype=np.int64)
    cases = np.array(kinds, dtype=np.int64).reshape(-1, len(KINDS))
    return Captions(metrics, prefix, np.array(parts), np.array(boxes_alone), ids, cases, taken, counts)


def _distinct(phrases: list[Phrase], most: int) -> list[Phrase]:
    first: dict[str, Phrase] = {}
    for phrase in phrases:
        first.setdefault(phrase.text, phrase)
    return list(first.values())[:most]
