"""The rules of the joints in COCO's annotations."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.tables import Annotations
from datamodules.defects import Finding
from datamodules.joints import inside_image


def dense_joints(annotations: Annotations, count: int) -> NDArray[np.float64]:
    """Return the joints of all annotations, float64 (M, ``count``, 3); zeros where the file has another number."""
    given = annotations.joint_counts == 3 * count
    joints = np.zeros((len(given), count, 3))
    if count:
        joints[given] = annotations.joints[np.repeat(given, annotations.joint_counts)].reshape(-1, count, 3)
    return joints


class JointTable:
    """The joints of all annotations as one array, and where they break a rule."""

    def __init__(self, annotations: Annotations, sizes: NDArray[np.float64], names: list[str]) -> None:
        self.names, self.counts = names, annotations.joint_counts
        self.counted = (self.counts == 3 * len(names)) | (self.counts == 0)
        joints = dense_joints(annotations, len(names))
        self.usable = np.isin(joints[..., 2], (0, 1, 2)) & (np.abs(joints) < 1e6).all(axis=2)
        labeled = self.usable & (joints[..., 2] > 0)
        self.outside, self.labeled = labeled & ~inside_image(joints, sizes), labeled.sum(axis=1)
        self.told = annotations.labeled

    def named(self, flags: NDArray[np.bool_]) -> Callable[[int], str]:
        """Return a function that lists the flagged joints of an annotation."""
        return lambda row: ", ".join(self.names[joint] for joint in np.flatnonzero(flags[row]).tolist())


def joint_errors(joints: JointTable) -> Iterator[Finding]:
    """Find joints that packing refuses."""
    unusable = joints.named(~joints.usable)
    yield Finding(
        ~joints.counted,
        "keypoints of another count",
        lambda row: (
            f"has {joints.counts[row]} keypoint numbers, but its category has {len(joints.names)} joints of three "
            "each: fix it"
        ),
    )
    yield Finding(
        ~np.all(joints.usable, axis=1),
        "unusable keypoint",
        lambda row: f"has a joint that is not finite or whose flag is not 0, 1 or 2 ({unusable(row)}): fix it",
    )


def joint_repairs(joints: JointTable) -> Iterator[Finding]:
    """Find joints that packing keeps, although they contradict the image or the annotation."""
    outside = joints.named(joints.outside)
    yield Finding(
        np.any(joints.outside, axis=1),
        "keypoint outside the image",
        lambda row: f"has labeled joints outside its image ({outside(row)}): fix them",
    )
    yield Finding(
        joints.counted & (joints.told >= 0) & (joints.told != joints.labeled),
        "num_keypoints disagrees",
        lambda row: f"says num_keypoints {joints.told[row]} and labels {joints.labeled[row]} joints: fix it",
    )
