"""Dense captioning: average precision over thresholds of box overlap and of METEOR (Johnson et al. 2016 §4.2)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lit_cv.metrics.base import Array, ImageMetric, gather
from lit_cv.metrics.facts import SCORE, SHARE, Fact
from lit_cv.metrics.meteor import Pair, exact_match_meteor, find_meteor, meteor
from lit_cv.ops.iou import pairwise_iou

IOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
METEORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
Measure = Literal["meteor", "exact_match_meteor"]
PREFIXES: dict[Measure, str] = {"meteor": "", "exact_match_meteor": "exact_match_"}
LAST_PIXEL = 1.0  # pixels at both ends belong to a box, as in the released code
MERGED = 0.7  # target boxes with at least this IoU are merged into one box with several references


class Judged(NamedTuple):
    """Evaluation of one image after its predictions were assigned to its target boxes."""

    image_id: int
    scores: NDArray[np.float64]  # (M,), descending
    ious: NDArray[np.float64]  # (M,) with the merged target box of the highest IoU
    takes: NDArray[np.bool_]  # (M,) True for the first prediction assigned to that box
    meteors: NDArray[np.float64]  # (M,) against that box's references
    language: NDArray[np.float64]  # (M,) against all phrases of the image; (0,) if not requested
    targets: int  # number of merged boxes


class DenseCaptionAP(ImageMetric):
    """AP of regions with phrases, as DenseCap's released code computes it (its ``eval/eval_utils.lua``).

    1. Merge target boxes: the box with the most others at IoU ≥ 0.7 and these others become one box, with their mean
       corners and all their phrases as references. Repeat with the remaining boxes until none is left.
    2. In descending order of scores, assign each prediction to the merged box with the highest IoU above 0. The first
       prediction assigned to a box takes it; later ones are wrong.
    3. A prediction is right if it took its box with IoU ≥ t and the METEOR of its phrase against the references is
       above s. AP is the mean over the recalls 0, 0.01, …, 1 of the highest precision at that recall or a higher one.
    4. The result is the mean over t in {.3, .4, .5, .6, .7} and s in {0, .05, .1, .15, .2, .25}. Each AP is computed
       over all images together.

    As in the released code, both end pixels belong to a box (width = x2 - x1 + 1). There are two differences. Boxes
    are in pixels of the image, not of a copy resized to a longer side of 720. A prediction that overlaps no box takes
    none; the released code indexes with -1 and lets it take the last box of the image.

    ``compute`` returns floats in [0, 1]:

    * ``densecap_map`` and its parts ``ap_<100 t>_<100 s>`` (``ap_30_05``);
    * ``box_map``, the mean over t of the AP of boxes alone, ignoring phrases, and its parts ``box_ap_<100 t>``;
    * ``meteor``, the mean over all predictions of the METEOR against the references of their box, 0 without a box
      (the ``average_score`` of the released code);
    * ``language_meteor``, if ``language`` is set: the mean over all predictions of the METEOR against all phrases of
      the image, regardless of their boxes, as in the paper's column "Language".

    **-1 means that there was nothing to evaluate**: no target or, for the two means of METEOR, no prediction.

    With ``meteor="exact_match_meteor"`` the names of all results that depend on it start with ``exact_match_``
    (``exact_match_densecap_map``), because it is a different measure. Each process scores its own images before they
    are gathered. Scores of pairs (phrase, references) from the previous evaluation are reused.

    Args:
        meteor: ``meteor``: METEOR 1.5, which needs Java and the extra ``captions``; ``exact_match_meteor``: its formula
            with exact matches only, see ``lit_cv.metrics.meteor``.
        language: Also compute ``language_meteor``. It compares each prediction with every phrase of the image and
            takes about ten times as long as everything else.

    Raises:
        UserError: If METEOR's program is selected and it or Java is missing.
    """

    shapes = ("phrases",)

    def __init__(self, meteor: Measure = "meteor", language: bool = False) -> None:
        super().__init__()
        if meteor not in PREFIXES:
            raise ValueError(f"meteor must be 'meteor' or 'exact_match_meteor', not {meteor!r}")
        if meteor == "meteor":
            find_meteor()
        self.measure, self.language = meteor, language
        self._known: dict[Pair, float] = {}

    @staticmethod
    def facts(meteor: Measure) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute`` without ``language``."""
        prefix = PREFIXES[meteor]
        means = {f"{prefix}densecap_map": SHARE, "box_map": SHARE, f"{prefix}meteor": SCORE}
        parts = [part(prefix, iou, score) for iou in IOUS for score in METEORS]
        return means | dict.fromkeys([*parts, *map(box_part, IOUS)], SHARE)

    def update(self, preds: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Keep the predictions and targets of one batch.

        Args:
            preds: Per image ``boxes`` (M, 4) xyxy in pixels, ``scores`` (M,), ``phrases`` a list of M strings.
            targets: Per image ``boxes`` (N, 4) xyxy in pixels, ``phrases`` a list of N strings, ``image_id`` int64
                scalar, unique in the data set.

        Raises:
            ValueError: If the batches or the columns of one image differ in length, or a number is not finite.
        """
        super().update([_labeled(pred) for pred in preds], [_labeled(target) for target in targets])

    def shape_columns(self, image_id: int, objects: Mapping[str, Any]) -> dict[str, Array]:
        """Return the phrases, an object array (N,)."""
        phrases = np.empty(len(objects["phrases"]), dtype=np.object_)
        phrases[:] = objects["phrases"]
        return {"phrases": phrases}

    def compute(self) -> dict[str, float]:
        """Evaluate all images seen since the last reset, on all ranks.

        Raises:
            UserError: If METEOR's program fails.
        """
        judged = gather(self.judge(), key=lambda image: image.image_id)
        return _named(judged, PREFIXES[self.measure], self.language)

    def judge(self) -> list[Judged]:
        """Evaluate the images of this process and score all their phrases in one call."""
        judged: list[Judged] = []
        pairs: list[list[Pair]] = []
        for image in self.images:
            boxes, references = merge_boxes(image.wanted["boxes"], image.wanted["phrases"])
            order = np.argsort(-image.found["scores"], kind="stable")
            ious, best, takes = assign(image.found["boxes"][order], boxes)
            phrases = image.found["phrases"][order].tolist()
            own = [(phrase, references[k] if k >= 0 else ()) for phrase, k in zip(phrases, best.tolist(), strict=True)]
            every = tuple(dict.fromkeys(image.wanted["phrases"].tolist()))
            pairs += [own, [(phrase, every) for phrase in phrases] if self.language else []]
            scores, none = image.found["scores"][order].astype(np.float64), np.zeros(0)
            judged.append(Judged(image.image_id, scores, ious, takes, none, none, len(boxes)))
        values = iter(self._score(pairs))
        return [image._replace(meteors=next(values), language=next(values)) for image in judged]

    def _score(self, groups: list[list[Pair]]) -> list[NDArray[np.float64]]:
        distinct = dict.fromkeys(pair for group in groups for pair in group)
        missing = [pair for pair in distinct if pair not in self._known]
        measure = meteor if self.measure == "meteor" else exact_match_meteor
        fresh = dict(zip(missing, measure(missing), strict=True))
        # Only the pairs of this evaluation are kept; otherwise memory would grow with every epoch.
        self._known = {pair: fresh[pair] if pair in fresh else self._known[pair] for pair in distinct}
        return [np.array([self._known[pair] for pair in group], dtype=np.float64) for group in groups]


def merge_boxes(boxes: Array, phrases: Array) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    """Merge target boxes that overlap with IoU ≥ 0.7, starting with the box that has the most such neighbors.

    Args:
        boxes: (N, 4) xyxy in pixels.
        phrases: (N,) strings.

    Returns:
        The K merged boxes, (K, 4), each the mean of its members; and the distinct phrases of the members of each.
    """
    boxes = boxes.astype(np.float64).reshape(-1, 4)
    close = pairwise_iou(boxes, boxes, LAST_PIXEL) >= MERGED
    merged, references = [], []
    while close.any():
        members = np.flatnonzero(close[close.sum(axis=1).argmax()])
        close[members] = False
        close[:, members] = False
        merged.append(boxes[members].mean(axis=0))
        references.append(tuple(dict.fromkeys(phrases[members].tolist())))
    return np.array(merged, dtype=np.float64).reshape(-1, 4), references


def assign(found: Array, wanted: Array) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Assign each prediction to the target box with the highest IoU.

    Args:
        found: (M, 4) xyxy in pixels, in descending order of scores.
        wanted: (K, 4) xyxy in pixels.

    Returns:
        The IoU, (M,); the index of the target box, (M,), -1 if none overlaps; True for the first prediction assigned
        to its target box, (M,).
    """
    ious, best = np.zeros(len(found)), np.full(len(found), -1)
    takes = np.zeros(len(found), dtype=np.bool_)
    if len(found) and len(wanted):
        overlaps = pairwise_iou(found.astype(np.float64), wanted, LAST_PIXEL)
        ious = overlaps.max(axis=1)
        best = np.where(ious > 0, overlaps.argmax(axis=1), -1)
        assigned, first = np.unique(best, return_index=True)
        takes[first[assigned >= 0]] = True
    return ious, best, takes


def _labeled(regions: Mapping[str, Any]) -> dict[str, Any]:
    return {**regions, "labels": torch.ones(len(regions["boxes"]), dtype=torch.int64)}


def _named(judged: list[Judged], prefix: str, language: bool) -> dict[str, float]:
    columns = {
        name: np.concatenate([getattr(image, name) for image in judged] or [np.zeros(0)])
        for name in ("scores", "ious", "takes", "meteors", "language")
    }
    order = np.argsort(-columns.pop("scores"), kind="stable")
    targets = sum(image.targets for image in judged)
    ious, takes, meteors = (columns[name][order] for name in ("ious", "takes", "meteors"))
    boxes = {t: takes.astype(np.bool_) & (ious >= t) for t in IOUS}
    table = {(t, s): average_precision(boxes[t] & (meteors > s), targets) for t in IOUS for s in METEORS}
    box_table = {t: average_precision(boxes[t], targets) for t in IOUS}
    results = {
        f"{prefix}densecap_map": float(np.mean(list(table.values()))),
        "box_map": float(np.mean(list(box_table.values()))),
        f"{prefix}meteor": float(meteors.mean()) if len(meteors) else -1.0,
    }
    if language:
        results[f"{prefix}language_meteor"] = float(columns["language"].mean()) if len(meteors) else -1.0
    results |= {part(prefix, t, s): value for (t, s), value in table.items()}
    return results | {box_part(t): value for t, value in box_table.items()}


def part(prefix: str, iou: float, score: float) -> str:
    """Return the name of the AP at thresholds of IoU and METEOR, such as ``ap_30_05``."""
    return f"{prefix}ap_{round(100 * iou)}_{round(100 * score):02d}"


def box_part(iou: float) -> str:
    """Return the name of the AP of boxes alone at a threshold of IoU, such as ``box_ap_30``."""
    return f"box_ap_{round(100 * iou)}"


def average_precision(right: NDArray[np.bool_], targets: int) -> float:
    """Return the AP at 101 recalls of predictions in descending order of scores, bool (M,); -1 without a target."""
    if not targets:
        return -1.0
    found = np.cumsum(right)
    precision = found / np.arange(1, len(found) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    # Smallest number of right predictions with a recall of k / 100, in integers to avoid rounding errors.
    needed = -(-np.arange(101) * targets // 100)
    places = np.searchsorted(found, needed)
    return float(np.append(highest, 0.0)[places].sum() / 101)
