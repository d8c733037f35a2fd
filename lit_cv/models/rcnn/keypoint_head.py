"""The keypoint branch of Mask R-CNN (He et al. 2017, section 5), with one map for each joint."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from lit_cv.models.rcnn.mask_head import checked_widths
from lit_cv.ops.global_batch import shared_count

WIDTH, LAYERS = 512, 8
REACH = 2  # cells around the largest one that its refinement uses
FINER = 8  # interpolated points along each side of a cell


def keypoint_layers(
    channels: int, num_keypoints: int, widths: Sequence[int] | None = None
) -> tuple[nn.Module, nn.Module]:
    """Build the head and the predictor, from regions (N, channels, S, S) to logits (N, K, 4 S, 4 S).

    Args:
        channels: Channels of the regions.
        num_keypoints: Number of joints K.
        widths: Channels of each convolution, >= 1, 512 for each of eight by default.

    Raises:
        UserError: ``widths`` is empty.
    """
    widths = checked_widths("keypoint_widths", (WIDTH,) * LAYERS if widths is None else widths)
    return KeypointRCNNHeads(channels, widths), KeypointRCNNPredictor(widths[-1], num_keypoints)


def keypoint_loss(logits: Tensor, keypoints: Tensor, boxes: Tensor) -> Tensor:
    """Compute the mean cross-entropy over the cells, for all joints that are labeled and lie in their region.

    Args:
        logits: float32 (N, K, M, M); N may be 0.
        keypoints: float32 (N, K, 3), ``x, y, v`` in the pixels of the regions; v is 0 for unlabeled joints.
        boxes: float32 (N, 4), the regions.

    Returns:
        A scalar, 0 if there is no such joint.
    """
    cells = logits.shape[-1]
    corner, side = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    place = (keypoints[..., :2] - corner) * (cells / side)
    # Joints on the right or lower edge of the region belong to the last cell, as in torchvision.
    cell = torch.where(keypoints[..., :2] == boxes[:, None, 2:], cells - 1, place.floor()).long()
    valid = ((cell >= 0) & (cell < cells)).all(-1) & (keypoints[..., 2] > 0)
    index = cell[..., 1] * cells + cell[..., 0]
    return F.cross_entropy(logits.flatten(2)[valid], index[valid], reduction="sum") / shared_count(valid)


def read_keypoints(logits: Tensor, boxes: Tensor) -> Tensor:
    """Find the joints of each region: the largest cell of the map, refined by bicubic interpolation around it.

    Args:
        logits: float32 (N, K, M, M).
        boxes: float32 (N, 4), the regions.

    Returns:
        float32 (N, K, 3): ``x, y`` in the pixels of the regions, and the logit of the largest cell.
    """
    cells = logits.shape[-1]
    best = logits.flatten(2).max(dim=2)
    row, column = best.indices // cells, best.indices % cells
    around = torch.arange(-REACH, REACH + 1, device=logits.device)
    rows = (row[..., None] + around).clamp(0, cells - 1)
    columns = (column[..., None] + around).clamp(0, cells - 1)
    index = rows[..., :, None] * cells + columns[..., None, :]
    patches = logits.flatten(2).gather(2, index.flatten(2)).view(index.shape)
    fine = F.interpolate(patches, scale_factor=FINER, mode="bicubic", align_corners=False)
    inner = fine[..., FINER:-FINER, FINER:-FINER]  # the largest cell and its neighbors
    place = inner.flatten(2).argmax(dim=2)
    shift = torch.stack((place % inner.shape[-1], place // inner.shape[-1]), dim=-1) / FINER + 0.5 / FINER - 1
    center = (torch.stack((column, row), dim=-1) + shift).clamp(0, cells)
    side = (boxes[:, 2:] - boxes[:, :2])[:, None]
    return torch.cat((boxes[:, None, :2] + center * side / cells, best.values[..., None]), dim=-1)


def read_enlarged(logits: Tensor, boxes: Tensor, scale: Tensor) -> Tensor:
    """Find the joints of each region as torchvision does: the largest pixel of the map enlarged to the region.

    Args:
        logits: float32 (N, K, M, M).
        boxes: float32 (N, 4), the regions in pixels of the resized image.
        scale: float32 (2,), factors of x and y from the input image to the resized image.

    Returns:
        float32 (N, K, 3): ``x, y`` in pixels of the input image, and the interpolated logit.
    """
    points, scores = heatmaps_to_keypoints(logits, boxes)
    return torch.cat((points[..., :2] / scale, scores[..., None]), dim=-1)
