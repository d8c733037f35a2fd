"""Percentage of correct keypoints: joints found within a fraction of the person's size."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchmetrics import Metric

from lit_cv.metrics.facts import SHARE, Fact

Counts = tuple[Tensor, Tensor]


class CorrectKeypoints(Metric):
    """Base of ``PCKh`` and ``PCK``: the share of labelled joints whose error is at most a fraction of a person's size.

    ``compute`` returns, for each threshold t, ``<prefix>_<100 t>``, a float64 scalar in [0, 1] over all labelled joints
    but ``left_out``, and ``<prefix>_<100 t>_per_joint``, float64 (K,); NaN where no joint was labelled. The counts wait
    on the CPU whatever the device of the points. ``compute`` is a collective call when torch.distributed is
    initialised and sums the counts of all ranks, also of ranks that saw nobody.

    Args:
        thresholds: Fractions of the size, whole percentages.
        left_out: Joints that the totals leave out.

    Attributes:
        FACT: Unit and direction of every number of ``compute``.
    """

    FACT: ClassVar[Fact] = SHARE
    prefix: ClassVar[str]
    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    correct: Tensor
    labelled: Tensor

    def __init__(self, thresholds: Sequence[float], left_out: Sequence[int]) -> None:
        super().__init__(sync_on_compute=False)  # torchmetrics' own needs states of one shape on all ranks
        self.thresholds, self.left_out = tuple(thresholds), tuple(left_out)
        self.add_state("correct", default=torch.zeros(len(self.thresholds), 0, dtype=torch.int64))
        self.add_state("labelled", default=torch.zeros(0, dtype=torch.int64))

    def update(self, points: Tensor, target: Tensor, labelled: Tensor, size: Tensor) -> None:
        """Count the joints of one batch.

        Args:
            points: Predictions (N, K, 2) in pixels.
            target: (N, K, 2) in the same pixels.
            labelled: bool (N, K), which of them count.
            size: (N,) in the same pixels; people of NaN do not count.

        Raises:
            ValueError: The shapes do not fit one another.
        """
        count, joints = labelled.shape
        if points.shape != (count, joints, 2) or target.shape != points.shape or size.shape != (count,):
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (points, target, labelled, size))
            raise ValueError(f"shapes {shapes}: (N, K, 2), (N, K, 2), (N, K) and (N,) are needed")
        points, target, size = (tensor.detach().cpu().double() for tensor in (points, target, size))
        counted = labelled.detach().cpu().bool() & size.isfinite()[:, None]
        error = (points - target).square().sum(dim=2).sqrt()
        limits = torch.tensor(self.thresholds, dtype=torch.float64)[:, None, None] * size[:, None]
        correct = ((error <= limits) & counted).sum(dim=1)
        self.correct, self.labelled = _added((self.correct, self.labelled), (correct, counted.sum(dim=0)))

    def compute(self) -> dict[str, Tensor]:
        """Return the shares of everything seen since the last reset, on all ranks; see the class."""
        correct, labelled = _over_ranks((self.correct, self.labelled))
        kept = torch.ones(labelled.numel(), dtype=torch.bool)
        kept[list(self.left_out) if labelled.numel() else []] = False
        shares: dict[str, Tensor] = {}
        for threshold, hits in zip(self.thresholds, correct, strict=True):
            name = f"{self.prefix}_{round(100 * threshold)}"
            shares[name] = hits[kept].sum().double() / labelled[kept].sum()
            shares[f"{name}_per_joint"] = hits.double() / labelled
        return shares

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> nn.Module:
        # The counts stay on the CPU.
        return super()._apply(fn, exclude_state=("correct", "labelled", *exclude_state))


class PCKh(CorrectKeypoints):
    """PCKh (Andriluka et al. 2014, section 4): errors as fractions of the size of the head.

    The official evaluation takes 0.6 times the diagonal of the head box as that size and leaves pelvis and thorax out
    of the total.

    Args:
        thresholds: 0.5 gives ``pckh_50`` and ``pckh_50_per_joint``, and so on.
        left_out: Joints that the totals leave out.
    """

    prefix: ClassVar[str] = "pckh"

    def __init__(self, thresholds: Sequence[float] = (0.5, 0.2, 0.1), left_out: Sequence[int] = ()) -> None:
        super().__init__(thresholds, left_out)


class PCK(CorrectKeypoints):
    """PCK of the torso (Toshev & Szegedy 2014, section 4.1, there PDJ): errors as fractions of its diameter.

    Args:
        thresholds: 0.2 gives ``pck_20`` and ``pck_20_per_joint``, and so on.
        left_out: Joints that the totals leave out.
    """

    prefix: ClassVar[str] = "pck"

    def __init__(self, thresholds: Sequence[float] = (0.2,), left_out: Sequence[int] = ()) -> None:
        super().__init__(thresholds, left_out)


def _added(first: Counts, second: Counts) -> Counts:
    """The sum of two pairs of counts; those of nobody have no joints."""
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
