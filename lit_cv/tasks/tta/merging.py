"""Merge the predictions for several views of an image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lit_cv.models.detection.detector import Detector, Keep
from lit_cv.models.localization import Localization, LocalizationNet
from lit_cv.models.network import Network, evaluating
from lit_cv.models.pose import Pose, PoseNet
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.models.segmentation.segmenter import Segmentation, Segmenter
from lit_cv.ops.boxes import grouped_nms
from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks, select_masks
from lit_cv.ops.masks import PIXELS_AT_ONCE
from lit_cv.ops.objects import masks_of, rows_of
from lit_cv.tasks.tta.settings import TTA, View
from lit_cv.tasks.tta.views import found_in_view, mirror_boxes, mirror_joints, resized, shown

Pairs = Sequence[Sequence[int]]


def predict_views(
    network: Network, tta: TTA | None, images: list[Tensor], given: list[Tensor] | None = None, pairs: Pairs = ()
) -> list[Any]:
    """Return the predictions for each image in the form of ``network.predict``, merged over all views.

    * Detections of all views go through the network's NMS together; a detection keeps the mask and the joints of its
      view (after ``GeneralizedRCNNWithTTA`` of detectron2, which averages masks).
    * Probabilities of classes are averaged at each pixel.
    * Joints of a pose are averaged as coordinates: PoseNet regresses them and has no heat maps, whose average others
      read. Boxes and probabilities of a localization are averaged, too.

    Args:
        network: The network.
        tta: The views, which fit the network; None is ``network.predict``.
        images: uint8 (3, H, W) each.
        given: Proposals of each image, for networks that take them; None computes them.
        pairs: (right, left) joints.
    """
    if tta is None:
        return network.predict(images, given) if isinstance(network, ProposalDetector) else network.predict(images)
    views = list(tta.views())
    if isinstance(network, Segmenter):
        return _segmentations(network, images, views)
    found = list(zip(*(found_in_view(network, images, given, view) for view in views), strict=True))
    widths = [image.shape[-1] for image in images]
    if isinstance(network, PoseNet):
        return [_pose(seen, views, width, pairs) for seen, width in zip(found, widths, strict=True)]
    if isinstance(network, LocalizationNet):
        return [_localization(seen, views, width) for seen, width in zip(found, widths, strict=True)]
    assert isinstance(network, Detector)
    return [_detections(seen, views, width, network.keep, pairs) for seen, width in zip(found, widths, strict=True)]


def _segmentations(network: Segmenter, images: Sequence[Tensor], views: Sequence[View]) -> list[Segmentation]:
    totals: list[Tensor] = []
    with torch.no_grad(), evaluating(network):
        for view in views:
            with resized(network, view.scale):
                batch = network.batch(shown(images, view))
                outputs = network(batch.pixels)
            shares = [scores.softmax(dim=0) for scores in network.scores_in(outputs, batch)]
            shares = [share.flip(-1) for share in shares] if view.flipped else shares
            totals = [total + share for total, share in zip(totals, shares, strict=True)] if totals else shares
    return [Segmentation(mask=total.max(dim=0).indices.to(torch.uint8)) for total in totals]


def _pose(seen: Sequence[Pose], views: Sequence[View], width: int, pairs: Pairs) -> Pose:
    points = [
        mirror_joints(pose["keypoints"], width - 1, pairs) if view.flipped else pose["keypoints"]
        for pose, view in zip(seen, views, strict=True)
    ]
    return Pose(keypoints=torch.stack(points).mean(dim=0))


def _localization(seen: Sequence[Localization], views: Sequence[View], width: int) -> Localization:
    boxes, scores = [], []
    for found, view in zip(seen, views, strict=True):
        order = found["labels"].argsort()
        boxes.append(mirror_boxes(found["boxes"], width)[order] if view.flipped else found["boxes"][order])
        scores.append(found["scores"][order])
    mean, order = torch.stack(scores).mean(dim=0).sort(descending=True, stable=True)
    return Localization(boxes=torch.stack(boxes).mean(dim=0)[order], scores=mean, labels=order + 1)


def _detections(seen: Sequence[Any], views: Sequence[View], width: int, keep: Keep, pairs: Pairs) -> dict[str, Any]:
    found = [_mirrored(one, width, pairs) if view.flipped else dict(one) for one, view in zip(seen, views, strict=True)]
    flipped = torch.cat([torch.full_like(one["labels"], view.flipped) for one, view in zip(found, views, strict=True)])
    size = {key: found[0][key] for key in ("mask_size",) if key in found[0]}
    every = {key: torch.cat([one[key] for one in found]) for key in found[0] if key not in size} | size
    kept = grouped_nms(every["boxes"], every["scores"], every["labels"], keep.nms_threshold)
    kept = kept[: keep.detections_per_image]
    merged = rows_of(every, kept)
    if "mask_runs" in merged:
        masks = _flip_masks(masks_of(merged), flipped[kept].bool())
        merged |= {"mask_runs": masks.runs, "mask_lengths": masks.lengths}
    return merged


def _mirrored(found: dict[str, Any], width: int, pairs: Pairs) -> dict[str, Any]:
    """Return detections with mirrored boxes and joints; masks are mirrored when it is known which ones stay."""
    joints = {"keypoints": mirror_joints(found["keypoints"], width, pairs)} if "keypoints" in found else {}
    return {**found, "boxes": mirror_boxes(found["boxes"], width), **joints}


def _flip_masks(masks: MaskRuns, flipped: Tensor) -> MaskRuns:
    """Mirror some of N masks, those where bool (N,) is true."""
    rows = torch.arange(len(flipped), device=flipped.device)
    parts = []
    for some in torch.split(rows, max(1, PIXELS_AT_ONCE // (masks.size[0] * masks.size[1]))):
        pixels = decode_masks(select_masks(masks, some))
        parts.append(encode_masks(torch.where(flipped[some][:, None, None], pixels.flip(-1), pixels)))
    return MaskRuns(torch.cat([part.runs for part in parts]), torch.cat([part.lengths for part in parts]), masks.size)
