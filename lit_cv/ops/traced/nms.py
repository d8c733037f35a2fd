"""Grouped NMS as one operator: ``torch.export`` cannot follow its branches and its loop over the groups."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

FEW = 1000  # number of boxes up to which ``batched_nms`` separates the groups by offsets in float32


@torch.library.custom_op("lit_cv::grouped_nms", mutates_args=())
def traced_nms(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Do the same as ``grouped_nms`` on the CPU."""
    kept: Tensor = batched_nms(boxes, scores, groups, threshold)
    return kept


@traced_nms.register_fake
def _(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


def by_offsets(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """Do the same with torchvision's operator and without branches.

    The offsets between the groups are those of ``batched_nms`` for a few boxes. For more boxes, which that function
    suppresses group by group, they are exact in float64.
    """
    side = torch.cat((boxes.flatten(), boxes.new_zeros(1))).amax() + 1
    few = boxes + (groups.to(boxes.dtype) * side)[:, None]
    many = boxes.double() + (groups * side.double())[:, None]
    kept: Tensor = nms(torch.where(_count(boxes) <= FEW, few.double(), many), scores.double(), threshold)
    return kept


def _count(rows: Tensor) -> Tensor:
    """Return the number of rows as a tensor, because it may be a symbol."""
    return torch.scalar_tensor(rows.shape[0], dtype=torch.int64, device=rows.device)
