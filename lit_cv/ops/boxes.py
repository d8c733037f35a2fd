"""Box encoding, matching, sampling and grouped NMS beyond torchvision.ops, without device synchronization."""

import math

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from lit_cv.ops.global_batch import rank
from lit_cv.ops.global_random import uniform
from lit_cv.ops.stages import stage
from lit_cv.ops.traced.nms import traced_nms

Weights = tuple[float, float, float, float]

# A predicted box is at most 1000/16 times as large as its reference, so that exp() cannot overflow.
MAX_LOG_SCALE = math.log(1000 / 16)


def encode_boxes(boxes: Tensor, references: Tensor, weights: Weights | None = None) -> Tensor:
    """Express boxes relative to reference boxes (R-CNN, Girshick et al. 2014, appendix C, eq. 6-9).

    Args:
        boxes: float32 (..., 4), ``x1, y1, x2, y2``.
        references: float32 (..., 4), anchors or proposals, with positive width and height.
        weights: Factors of dx, dy, dw, dh; None means all 1.

    Returns:
        float32 (..., 4), ``dx, dy, dw, dh``.
    """
    ref_size = references[..., 2:] - references[..., :2]
    ref_center = references[..., :2] + 0.5 * ref_size
    size = boxes[..., 2:] - boxes[..., :2]
    center = boxes[..., :2] + 0.5 * size
    deltas = torch.cat(((center - ref_center) / ref_size, torch.log(size / ref_size)), dim=-1)
    return deltas if weights is None else deltas * _on(deltas, weights)


def decode_boxes(deltas: Tensor, references: Tensor, weights: Weights | None = None) -> Tensor:
    """Invert ``encode_boxes``: turn deltas float32 (..., 4) on references (..., 4) into boxes ``x1, y1, x2, y2``."""
    size = references[..., 2:] - references[..., :2]
    center = references[..., :2] + 0.5 * size
    if weights is not None:
        deltas = deltas / _on(deltas, weights)
    center = deltas[..., :2] * size + center
    half = 0.5 * (torch.exp(deltas[..., 2:].clamp(max=MAX_LOG_SCALE)) * size)
    return torch.cat((center - half, center + half), dim=-1)


def _on(like: Tensor, weights: Weights) -> Tensor:
    return torch.tensor(weights, dtype=like.dtype).to(like.device, non_blocking=True)


def clip_boxes(boxes: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Clip boxes (B, N, 4) to their images, given as a list of B pairs (height, width)."""
    limits = torch.tensor([(w, h, w, h) for h, w in sizes], dtype=boxes.dtype).to(boxes.device, non_blocking=True)
    return torch.minimum(boxes.clamp(min=0), limits[:, None])


def match_boxes(
    objects: Tensor, boxes: Tensor, high: float, low: float, rescue: bool = False, lowest: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Assign to each box the object with the highest IoU (Faster R-CNN, Ren et al. 2015, section 3.1.2).

    Args:
        objects: float32 (N, 4), N may be 0.
        boxes: float32 (A, 4), anchors or proposals.
        high: Minimum IoU of a positive box, in [0, 1].
        low: A box is negative if its IoU is below this value.
        rescue: Also mark the box (or the tied boxes) with the highest IoU of each object as positive.
        lowest: Minimum IoU of a negative box. Without objects all boxes are negative.

    Returns:
        The object of each box, int64 (A,) in 0..N-1 (0 if there are no objects), and its state, int64 (A,):
        1 positive, 0 negative, -1 neither.
    """
    if not len(objects):
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return none, none
    overlap = pairwise_iou(objects, boxes)
    best, index = overlap.max(dim=0)
    state = (best >= high).long() - (((best >= low) & (best < high)) | (best < lowest)).long()
    if rescue:
        rescued = (overlap == overlap.amax(dim=1, keepdim=True)).any(dim=0)
        state = state.masked_fill(rescued, 1)
    return index, state


def match_best(objects: Tensor, boxes: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Assign each object to its best default box and to all above a threshold (SSD, Liu et al. 2016, section 2.2).

    Args:
        objects: float32 (N, 4), N may be 0.
        boxes: float32 (A, 4).
        threshold: Minimum IoU of a match, in [0, 1].

    Returns:
        The object of each box, int64 (A,) in 0..N-1 (0 if there are no objects), and the mask of matched boxes,
        bool (A,).
    """
    if not len(objects):
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return none, none.bool()
    overlap = pairwise_iou(objects, boxes)
    best, index = overlap.max(dim=0)
    favorite = overlap.argmax(dim=1)
    index[favorite] = torch.arange(len(objects), device=boxes.device)
    return index, (best >= threshold).index_fill(0, favorite, True)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Gather rows (B, A, D) by indices (B, K) into (B, K, D)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Compute the IoU of every pair of boxes, (N, 4) and (M, 4), as (N, M)."""
    first_area = (first[:, 2] - first[:, 0]) * (first[:, 3] - first[:, 1])
    second_area = (second[:, 2] - second[:, 0]) * (second[:, 3] - second[:, 1])
    x1, y1, x2, y2 = first.T[..., None]
    u1, v1, u2, v2 = second.T.contiguous()
    width = torch.minimum(x2, u2).sub_(torch.maximum(x1, u1)).clamp_(min=0)
    height = torch.minimum(y2, v2).sub_(torch.maximum(y1, v1)).clamp_(min=0)
    inter = width.mul_(height)
    return inter / (first_area[:, None] + second_area - inter)


def centered_iou(first: Tensor, second: Tensor) -> Tensor:
    """Compute the IoU of boxes ``x, y, w, h``, x and y their centers, element by element: (..., 4) to (...).

    The IoU of two boxes without area is 0.
    """
    half, other = first[..., 2:] / 2, second[..., 2:] / 2
    low = torch.maximum(first[..., :2] - half, second[..., :2] - other)
    high = torch.minimum(first[..., :2] + half, second[..., :2] + other)
    inter = (high - low).clamp(min=0).prod(dim=-1)
    union = first[..., 2:].prod(dim=-1) + second[..., 2:].prod(dim=-1) - inter
    return inter / union.clamp(min=1e-12)


def random_keys(like: Tensor) -> Tensor:
    """Sample one key in [0, 1) for each element of (B, ...), one row per image; elements with the largest keys win."""
    return uniform(like.shape, like.device, rank() * len(like))


def sample_balanced(
    states: Tensor, count: int, positive_fraction: float, keys: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sample boxes for the loss: a limited share of positives, the rest negatives (Ren et al. 2015, section 3.1.3).

    Args:
        states: int64 (B, A): > 0 positive, 0 negative, < 0 never sampled.
        count: Number of boxes to sample in each image.
        positive_fraction: Maximum share of positives.
        keys: (B, A) in [0, 1); boxes with the largest keys are sampled. None means random keys.

    Returns:
        int64 (B, K) indices into the A boxes, and bool (B, K), true for a sampled index and false for filler when
        there are fewer than ``count`` candidates. K is ``min(count, A)``.
    """
    keys = random_keys(states) if keys is None else keys
    positives = min(int(count * positive_fraction), states.shape[1])
    chosen = torch.where(states > 0, keys, -1.0).topk(positives, dim=1)
    # The chosen positives outrank all negatives; other positives and ignored boxes are never sampled.
    ranks = torch.where(states == 0, keys, -1.0).scatter_add(1, chosen.indices, 2 * (chosen.values >= 0).to(keys.dtype))
    sampled = ranks.topk(min(count, states.shape[1]), dim=1)
    return sampled.indices, sampled.values >= 0


@stage("nms")
def grouped_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Suppress overlapping boxes within each group, with the same result as ``torchvision.ops.batched_nms``.

    On a GPU, boxes are offset by group and suppressed in one call. A loop over groups would synchronize once per group.

    Args:
        boxes: float32 (N, 4).
        scores: float32 (N,).
        groups: int64 (N,), class or pyramid level of each box.
        threshold: The box with the lower score is removed if the IoU is above this value.

    Returns:
        int64 indices of the kept boxes, by descending score.
    """
    kept: Tensor
    if torch.compiler.is_exporting():
        kept = traced_nms(boxes, scores, groups, threshold)
    elif boxes.is_cuda and len(boxes):
        kept = nms(boxes + (groups * (boxes.amax() + 1))[:, None], scores, threshold)
    else:
        kept = batched_nms(boxes, scores, groups, threshold)
    return kept
