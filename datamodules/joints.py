"""Skeletons: joints with names, their left-right pairs and visibility."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HIDDEN, VISIBLE = 1, 2  # flags of labeled joints; 0 is not labeled


@dataclass(frozen=True)
class Skeleton:
    """The joints that a data set labels.

    Attributes:
        joints: The K names of the joints.
        limbs: Pairs of joints that a line connects in pictures.
        pairs: (right, left) joints, which a mirrored image swaps.
        head: The two joints whose distance gives the size of the head if no head box is known.
        torso: The two joints whose distance is the size of the torso: left shoulder and right hip (Toshev & Szegedy
            2014, §4.1).
        left_out: Joints that the total of PCKh excludes.
        head_share: Size of the head over the distance of the ``head`` joints.
    """

    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    head: tuple[int, int]
    torso: tuple[int, int]
    left_out: tuple[int, ...] = ()
    head_share: float = 1.0

    @property
    def mirrored(self) -> NDArray[np.int64]:
        """For each joint, the joint that replaces it in a mirrored image, int64 (K,)."""
        return mirrored_order(len(self.joints), self.pairs)


def mirrored_order(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return, for each of ``count`` joints, the joint that replaces it in a mirrored image, int64: ``pairs`` swap."""
    order, swapped = np.arange(count), np.array(pairs, dtype=np.int64).reshape(-1, 2)
    order[swapped] = swapped[:, ::-1]
    return order


def left_right_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the (right, left) joints: those named ``right_<part>`` and ``left_<part>``."""
    places = {name: place for place, name in enumerate(names)}
    rights = [name for name in names if name.startswith("right_")]
    pairs = [(name, f"left_{name.removeprefix('right_')}") for name in rights]
    return [(places[right], places[left]) for right, left in pairs if left in places]


def inside_image(joints: NDArray[np.float64], sizes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which joints (N, K, 3) lie in their image of width and height (N, 2), bool (N, K); NaN does not."""
    with np.errstate(invalid="ignore"):
        near, far = joints[..., :2] >= -0.5, joints[..., :2] <= sizes[:, None] - 0.5
    inside: NDArray[np.bool_] = np.all(near & far, axis=2)
    return inside
