"""Faster R-CNN (Ren et al. 2015): region proposals and region classification on shared features."""

import math
from typing import Literal

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lit_cv.contract import FromData
from lit_cv.errors import UserError
from lit_cv.models.backbones.classifier_ends import Head, backbone_head
from lit_cv.models.backbones.necks import feature_pyramid, single_map
from lit_cv.models.backbones.trunk import Norm, build_trunk
from lit_cv.models.detection.anchors import _anchor_shapes
from lit_cv.models.detection.detector import Keep
from lit_cv.models.images import ImageBatch
from lit_cv.models.rcnn.region_heads import mlp_head
from lit_cv.models.rcnn.roi_head import RoIHead
from lit_cv.models.rcnn.rpn import ProposalCount, RegionProposalNetwork
from lit_cv.models.rcnn.two_stage import TwoStageDetector
from lit_cv.ops.roi import RoIOp


class FasterRCNN(TwoStageDetector):
    """Faster R-CNN on any backbone, with one feature map or a pyramid.

    With the same settings, the parameters, losses and detections are those of torchvision's ``FasterRCNN``, whose
    published state dicts load with ``load_state_dict``.

    Args:
        num_classes: Number of classes with the background.
        backbone: A name of ``lit_cv.models.backbones.families.NAMES`` or ``timm/<name>``.
        weights: Of the backbone: ``imagenet``, the path of a state dict, or None.
        neck: ``fpn`` builds a feature pyramid; ``c4`` uses the single map at stride 16, as in the paper.
        roi_op: ``align``, ``pool`` or ``bilinear``, see ``lit_cv.ops.roi.pool_rois``.
        anchor_scales: Square roots of the anchors' areas, in pixels of the resized image. With ``c4``, a list of scales
            for the single map (default 128, 256, 512). With ``fpn``, one scale or one list of scales for each level,
            finest first (default 32, doubled from level to level).
        anchor_ratios: Height divided by width of the anchors, the same on every level. Default: 0.5, 1, 2.
        min_size: Pixels of the shorter side of the resized image.
        max_size: Limit of its longer side.
        trainable_layers: How many stages of the backbone are trained, counted from the last; None trains all.
        norm: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.
        score_threshold: Detections with a lower probability go.
        nms_threshold: IoU above which the less likely detection of the same class goes.
        detections_per_image: The best so many are kept.
        rpn_pre_nms_train: Proposals of each level before NMS, for ``losses``.
        rpn_pre_nms_test: The same for ``predict``.
        rpn_post_nms_train: Proposals of each image after NMS, for ``losses``.
        rpn_post_nms_test: The same for ``predict``.
        rpn_nms_threshold: IoU above which the less likely proposal goes.
        rpn_score_threshold: Proposals with a lower probability go.
        rpn_batch: Anchors sampled for the loss in each image.
        roi_batch: Regions sampled for the loss in each image.
        head: Layers applied to each region. ``mlp``: two new layers. ``backbone``, only with ``c4``: the last layers of
            the classification network with their weights (fc6 and fc7 of VGG, as in the paper), see ``backbone_head``.
        head_features: Width of the two layers of ``mlp``.
    """

    roi_heads: RoIHead

    def __init__(
        self,
        num_classes: FromData,
        backbone: str = "resnet50",
        weights: str | None = None,
        neck: Literal["fpn", "c4"] = "fpn",
        roi_op: RoIOp = "align",
        anchor_scales: list[float] | list[list[float]] | None = None,
        anchor_ratios: list[float] | None = None,
        min_size: int = 800,
        max_size: int = 1333,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        detections_per_image: int = 100,
        rpn_pre_nms_train: int = 2000,
        rpn_pre_nms_test: int = 1000,
        rpn_post_nms_train: int = 2000,
        rpn_post_nms_test: int = 1000,
        rpn_nms_threshold: float = 0.7,
        rpn_score_threshold: float = 0.0,
        rpn_batch: int = 256,
        roi_batch: int = 512,
        head: Head = "mlp",
        head_features: int = 1024,
    ) -> None:
        keep_train = ProposalCount(rpn_pre_nms_train, rpn_post_nms_train)
        keep_test = ProposalCount(rpn_pre_nms_test, rpn_post_nms_test)
        super().__init__(num_classes, min_size, max_size, channels_last, keep_train, keep_test)
        trunk = build_trunk(backbone, weights, norm)
        build_neck = feature_pyramid if neck == "fpn" else single_map
        self.backbone, channels, levels = build_neck(trunk, trainable_layers)
        anchors = AnchorGenerator(*_anchor_shapes(anchor_scales, anchor_ratios or [0.5, 1.0, 2.0], levels))
        self.rpn = RegionProposalNetwork(channels, anchors, rpn_batch, rpn_nms_threshold, rpn_score_threshold)
        if head == "backbone" and neck != "c4":
            raise UserError(f"head: backbone needs the single map of neck: c4, not neck: {neck}; choose head: mlp.")
        box_head, features = (
            backbone_head(backbone, weights, norm) if head == "backbone" else mlp_head(channels, head_features)
        )
        keep = Keep(score_threshold, nms_threshold, detections_per_image)
        self.roi_heads = RoIHead(box_head, features, num_classes, roi_op, roi_batch, keep)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def _classify(self, batch: ImageBatch, maps: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.roi_heads(*pooled_maps(batch, maps), rois)
        return outputs


def pooled_maps(batch: ImageBatch, maps: list[Tensor]) -> tuple[list[Tensor], list[int]]:
    """Return the maps that regions are pooled from (all but the pyramid's pooled top) and their strides."""
    maps = maps[:-1] if len(maps) > 1 else maps
    return maps, [2 ** round(math.log2(batch.pixels.shape[-1] / level.shape[-1])) for level in maps]
