"""Errors of poses: the share of correct joints by threshold, joint and visibility, and joints of the wrong side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lit_cv.metrics import PCK, PCKh
from lit_cv.metrics.pckh import CorrectKeypoints

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]

THRESHOLDS = tuple(percent / 100 for percent in range(101))
HIDDEN, VISIBLE = 1, 2  # flags of labeled joints


@dataclass(frozen=True)
class Poses:
    """Poses of N people with K joints, in pixels of their crops.

    Attributes:
        image_ids: int64 (N,).
        points: float32 (N, K, 2), predictions.
        wanted: float32 (N, K, 2), targets.
        flags: int64 (N, K), 0 for a joint that is not labeled, ``HIDDEN`` or ``VISIBLE``.
        sizes: float32 (N,) of ``head`` and ``torso``; NaN if unknown.
    """

    image_ids: NDArray[np.int64]
    points: torch.Tensor
    wanted: torch.Tensor
    flags: torch.Tensor
    sizes: Mapping[str, torch.Tensor]

    @property
    def errors(self) -> Numbers:
        """Distances of the joints from their targets in pixels, float64 (N, K)."""
        return np.asarray((self.points.double() - self.wanted.double()).square().sum(dim=2).sqrt())

    def relative(self, size: str) -> Numbers:
        """Distances as shares of a size, (N, K); NaN for joints that do not count."""
        with np.errstate(invalid="ignore"):
            shares = self.errors / self.sizes[size].double().numpy()[:, None]
        return np.where(self.flags.numpy() > 0, shares, np.nan)

    def mean_errors(self, size: str) -> Numbers:
        """Mean over each person's joints of :meth:`relative`, (N,); NaN for people without one that counts."""
        return _without_nan(np.mean, self.relative(size))


@dataclass(frozen=True)
class Curve:
    """The share of correct joints over ``THRESHOLDS``; NaN without a labeled joint.

    Attributes:
        total: float64 (101,), all joints except those that the data set leaves out.
        joints: float64 (101, K), each joint.
        labeled: int64 (K,), labeled joints of people with a known size.
    """

    total: Numbers
    joints: Numbers
    labeled: NDArray[np.int64]

    @property
    def area(self) -> float:
        """Mean over the thresholds up to 0.5, the area under the curve as a share of the largest one."""
        return float(self.total[:51].mean())


def read_poses(people: Iterable[Pair]) -> Poses:
    """Collect predictions ``keypoints`` (1, K, 2) and targets ``keypoints`` (1, K, 3) with their sizes."""
    pairs = list(people)
    wanted = torch.cat([target["keypoints"] for _, target in pairs])
    sizes = {name: torch.stack([target[f"{name}_size"] for _, target in pairs]) for name in ("head", "torso")}
    image_ids = np.array([int(target["image_id"]) for _, target in pairs], dtype=np.int64)
    points = torch.cat([found["keypoints"][..., :2] for found, _ in pairs])
    return Poses(image_ids, points, wanted[..., :2], wanted[..., 2].long(), sizes)


def curve(poses: Poses, size: str, left_out: Sequence[int] = (), flag: int | None = None) -> Curve:
    """Return the share of joints within each threshold, as ``PCKh`` (``head``) or ``PCK`` (``torso``) computes it.

    Args:
        poses: The people.
        size: ``head`` or ``torso``.
        left_out: Joints that the total excludes.
        flag: Count joints with this flag alone; None counts all labeled ones.
    """
    metric: CorrectKeypoints = (PCKh if size == "head" else PCK)(THRESHOLDS, left_out)
    labeled = poses.flags > 0 if flag is None else poses.flags == flag
    metric.update(poses.points, poses.wanted, labeled, poses.sizes[size])
    shares = metric.compute()
    names = [f"{metric.prefix}_{percent}" for percent in range(101)]
    total = torch.stack([shares[name] for name in names])
    joints = torch.stack([shares[f"{name}_per_joint"] for name in names])
    return Curve(total.numpy(), joints.numpy(), metric.labeled.numpy())


def median_error(poses: Poses, size: str) -> Numbers:
    """Return the median error of each joint as a share of a size, (K,); NaN for a joint that is never labeled."""
    return _without_nan(np.median, poses.relative(size).T)


def swapped(poses: Poses, size: str, pairs: Sequence[Sequence[int]], threshold: float) -> tuple[Counts, Counts]:
    """Count joints that are wrong and lie on their mirror partner, the inversions of Ronchi & Perona 2017.

    Args:
        poses: The people.
        size: ``head`` or ``torso``.
        pairs: (right, left) joints.
        threshold: Share of the size within which a joint lies on a target.

    Returns:
        int64 (K,): wrong joints, and those of them that lie on the partner's target.
    """
    partner = np.arange(poses.flags.shape[1])
    for right, left in pairs:
        partner[right], partner[left] = left, right
    limit = threshold * poses.sizes[size].double().numpy()[:, None]
    labeled = (poses.flags.numpy() > 0) & np.isfinite(limit)
    wrong = labeled & ~(poses.errors <= limit)
    points, wanted = poses.points.double().numpy(), poses.wanted.double().numpy()
    beside = np.linalg.norm(points - wanted[:, partner], axis=2) <= limit
    on_partner = wrong & beside & labeled[:, partner] & (partner != np.arange(len(partner)))
    return wrong.sum(axis=0), on_partner.sum(axis=0)


def _without_nan(middle: Callable[[Numbers], Any], rows: Numbers) -> Numbers:
    """Return the middle of each row without its NaN; NaN for a row of NaN alone."""
    kept = [row[np.isfinite(row)] for row in rows]
    return np.array([middle(row) if len(row) else np.nan for row in kept], dtype=np.float64)
