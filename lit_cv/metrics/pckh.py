"""Percentage of correct keypoints: joints found within a fraction of the person's size."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from lit_cv.metrics.facts import SHARE, Fact
from lit_cv.metrics.host_metric import HostMetric

Counts = tuple[Tensor, Tensor]


class CorrectKeypoints(HostMetric):
    """Base of ``PCKh`` and ``PCK``: the share of labeled joints with an error of at most a fraction of a person's size.

    ``compute`` returns, for each threshold t, ``<prefix>_<100 t>``, a float64 scalar in [0, 1] over all labeled joints
    except ``left_out``, and ``<prefix>_<100 t>_per_joint``, float64 (K,). Both are NaN if no joint was labeled. The
    counts are stored on the CPU for points on any device. ``compute`` is a collective call when torch.distributed is
    initialized. It sums the counts of all ranks, including ranks without any person.

    Args:
        thresholds: Fractions of the size, in whole percent.
        left_out: Joints excluded from the totals.

    Attributes:
        FACT: Unit and direction of every number of ``compute``.
    """

    FACT: ClassVar[Fact] = SHARE
    HOST_STATES = ("correct", "labeled")
    prefix: ClassVar[str]
    higher_is_better = True
    correct: Tensor
    labeled: Tensor

    def __init__(self, thresholds: Sequence[float], left_out: Sequence[int]) -> None:
        super().__init__()
        self.thresholds, self.left_out = tuple(thresholds), tuple(left_out)
        self.add_state("correct", default=torch.zeros(len(self.thresholds), 0, dtype=torch.int64))
        self.add_state("labeled", default=torch.zeros(0, dtype=torch.int64))

    def update(self, points: Tensor, target: Tensor, labeled: Tensor, size: Tensor) -> None:
        """Count the joints of one batch.

        Args:
            points: Predictions (N, K, 2) in pixels.
            target: Positions (N, K, 2) in the same pixels.
            labeled: bool (N, K), True for joints that count.
            size: (N,) in the same pixels; people with a size of NaN do not count.

        Raises:
            ValueError: If the shapes do not match.
        """
        count, joints = labeled.shape
        if points.shape != (count, joints, 2) or target.shape != points.shape or size.shape != (count,):
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (points, target, labeled, size))
            raise ValueError(f"shapes {shapes}: (N, K, 2), (N, K, 2), (N, K) and (N,) are needed")
        points, target, size = (tensor.detach().cpu().double() for tensor in (points, target, size))
        counted = labeled.detach().cpu().bool() & size.isfinite()[:, None]
        error = (points - target).square().sum(dim=2).sqrt()
        limits = torch.tensor(self.thresholds, dtype=torch.float64)[:, None, None] * size[:, None]
        correct = ((error <= limits) & counted).sum(dim=1)
        self.correct, self.labeled = _added((self.correct, self.labeled), (correct, counted.sum(dim=0)))

    def compute(self) -> dict[str, Tensor]:
        """Return the shares over all joints since the last reset, on all ranks; see the class."""
        correct, labeled = _over_ranks((self.correct, self.labeled))
        kept = torch.ones(labeled.numel(), dtype=torch.bool)
        kept[list(self.left_out) if labeled.numel() else []] = False
        shares: dict[str, Tensor] = {}
        for threshold, hits in zip(self.thresholds, correct, strict=True):
            name = f"{self.prefix}_{round(100 * threshold)}"
            shares[name] = hits[kept].sum().double() / labeled[kept].sum()
            shares[f"{name}_per_joint"] = hits.double() / labeled
        return shares


class PCKh(CorrectKeypoints):
    """PCKh (Andriluka et al. 2014, section 4): errors as fractions of the size of the head.

    The official evaluation uses 0.6 times the diagonal of the head box as the size and excludes pelvis and thorax from
    the total.

    Args:
        thresholds: 0.5 gives ``pckh_50`` and ``pckh_50_per_joint``, and so on.
        left_out: Joints excluded from the totals.
    """

    prefix: ClassVar[str] = "pckh"

    def __init__(self, thresholds: Sequence[float] = (0.5, 0.2, 0.1), left_out: Sequence[int] = ()) -> None:
        super().__init__(thresholds, left_out)


class PCK(CorrectKeypoints):
    """PCK (Toshev & Szegedy 2014, section 4.1, called PDJ there): errors as fractions of the torso's diameter.

    Args:
        thresholds: 0.2 gives ``pck_20`` and ``pck_20_per_joint``, and so on.
        left_out: Joints excluded from the totals.
    """

    prefix: ClassVar[str] = "pck"

    def __init__(self, thresholds: Sequence[float] = (0.2,), left_out: Sequence[int] = ()) -> None:
        super().__init__(thresholds, left_out)


def _added(first: Counts, second: Counts) -> Counts:
    """Return the sum of two pairs of counts; counts without any person have zero joints."""
    if not first[1].numel():
        return second
    if not second[1].numel():
        return first
    return first[0] + second[0], first[1] + second[1]


def _over_ranks(counts: Counts) -> Counts:
    if not (dist.is_available() and dist.is_initialized()):
        return counts
    ranks: list[Counts] = [counts] * dist.get_world_size()
    dist.all_gather_object(ranks, counts)
    total = ranks[0]
    for other in ranks[1:]:
        total = _added(total, other)
    return total
