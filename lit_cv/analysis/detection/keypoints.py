"""Keypoints of people: the error of each joint, by its visibility."""

from collections.abc import Mapping, Sequence

import numpy as np

from lit_cv.analysis.contract import Column, Number, Table
from lit_cv.analysis.detection.matches import NOBODY, Detections, Integers
from lit_cv.metrics.base import Evaluation

SEEN = {"visible": 2, "covered": 1}  # COCO's flag of a labeled joint
CLOSE = 0.5  # similarity of a joint from which it counts as found
ABOUT = (
    "Joints of the people whose boxes are found (IoU 0.5): median distance in percent of the square root of the "
    "person's area, and the share of joints with a similarity exp(-d² / 2 area k²), the part of a joint in OKS, of at "
    "least 0.5 (cocodataset.org/#keypoints-eval). Covered joints are labeled, but hidden."
)


def joint_table(
    evaluation: Evaluation, found: Detections, matched: Integers, names: Sequence[str], sigmas: Sequence[float]
) -> tuple[Table, Mapping[str, Number]]:
    """Return the errors by joint and visibility, and those of all joints for comparisons.

    Args:
        evaluation: The images, with keypoints.
        found: The detections, by their boxes.
        matched: int64 (M,), the target of each detection, -1 for none.
        names: Names of the K joints.
        sigmas: Spread of each joint.
    """
    rows = np.flatnonzero(matched != NOBODY)
    places, targets = found.rows[rows], matched[rows]
    shape = (-1, len(names), 3)
    ours = evaluation.found["keypoints"].reshape(shape)[places]
    theirs = evaluation.wanted["keypoints"].reshape(shape)[targets]
    area = np.maximum(evaluation.wanted["area"][targets], 1.0)[:, None]
    squared = ((ours[..., :2] - theirs[..., :2]) ** 2).sum(axis=-1) / area
    close = np.exp(-squared / (8 * np.asarray(sigmas) ** 2)) >= CLOSE  # k is twice the spread
    distance, flags = np.sqrt(squared), theirs[..., 2]

    def facts(mask: np.typing.NDArray[np.bool_]) -> list[float]:
        count = int(mask.sum())
        return [count, float(np.median(distance[mask])), float(close[mask].mean())] if count else [0, np.nan, np.nan]

    columns = [Column("joint")]
    for word in SEEN:
        columns += [
            Column(word, "count"),
            Column(f"distance %, {word}", "percent"),
            Column(f"close %, {word}", "percent"),
        ]
    lines = {"all joints": np.ones(len(names), bool)} | {
        name: np.arange(len(names)) == place for place, name in enumerate(names)
    }
    table = [
        [name, *(v for flag in SEEN.values() for v in facts((flags == flag) & own))] for name, own in lines.items()
    ]
    numbers = {
        f"oks_close_{word}": Number(facts(flags == flag)[2], f"{word} joints that are close", "percent", True)
        for word, flag in SEEN.items()
    }
    return Table("oks_joints", "Keypoints: error by joint", ABOUT, columns, table), numbers
