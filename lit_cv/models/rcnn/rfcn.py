"""R-FCN (Dai et al. 2016): a fully convolutional network scores parts of regions, and a region averages them."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import ps_roi_align, ps_roi_pool

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of
from lit_cv.models.backbones.necks import single_map
from lit_cv.models.backbones.trunk import Norm, build_trunk
from lit_cv.models.detection.detector import Keep
from lit_cv.models.images import ImageBatch
from lit_cv.models.rcnn.roi_head import RegionHead
from lit_cv.models.rcnn.rpn import ProposalCount, RegionProposalNetwork
from lit_cv.models.rcnn.two_stage import TwoStageDetector
from lit_cv.ops.roi_cpu import SAMPLES

BinOp = Literal["align", "pool"]

STRIDE = 16
CONV4_AND_5 = ("layer3", "layer4")  # of a ResNet


class RFCN(TwoStageDetector):
    """R-FCN on any backbone.

    On ResNets with bottlenecks (resnet50 and larger) as in the paper: conv5 is dilated instead of halving its map, the
    position-sensitive maps stand on it, and the region proposal network on conv4. On other networks both stand on the
    map at stride 16. Regions are sampled as in Faster R-CNN; online hard example mining is left out.

    Args:
        num_classes: Number of classes with the background.
        backbone: A name of ``lit_cv.models.backbones.families.NAMES`` or ``timm/<name>``.
        weights: Of the backbone: ``imagenet``, the path of a state dict, or None.
        bins: k: each region is divided into k x k bins, and each bin has score maps of its own.
        roi_op: ``pool`` averages the cells of a bin, as in the paper; ``align`` reads 2 x 2 points between cells.
        features: Channels of the 1x1 convolution under the position-sensitive maps.
        anchor_scales: Square roots of the anchors' areas, in pixels of the resized image. Default: 128, 256, 512.
        anchor_ratios: Heights of the anchors over their widths. Default: 0.5, 1, 2.
        min_size: Pixels of the shorter side of the resized image.
        max_size: Limit of its longer side.
        trainable_layers: How many stages of the backbone are trained, counted from the last; None trains all.
        norm: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.
        score_threshold: Detections with a lower probability go.
        nms_threshold: IoU above which the less likely detection of the same class goes.
        detections_per_image: The best so many are kept.
        rpn_pre_nms_train: Proposals of each image before NMS, for ``losses``.
        rpn_pre_nms_test: The same for ``predict``.
        rpn_post_nms_train: Proposals of each image after NMS, for ``losses``.
        rpn_post_nms_test: The same for ``predict``.
        rpn_nms_threshold: IoU above which the less likely proposal goes.
        rpn_batch: Anchors sampled for the loss in each image.
        roi_batch: Regions sampled for the loss in each image.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet50",
        weights: str | None = None,
        bins: int = 7,
        roi_op: BinOp = "pool",
        features: int = 1024,
        anchor_scales: list[float] | None = None,
        anchor_ratios: list[float] | None = None,
        min_size: int = 600,
        max_size: int = 1000,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        detections_per_image: int = 100,
        rpn_pre_nms_train: int = 12000,
        rpn_pre_nms_test: int = 6000,
        rpn_post_nms_train: int = 2000,
        rpn_post_nms_test: int = 300,
        rpn_nms_threshold: float = 0.7,
        rpn_batch: int = 256,
        roi_batch: int = 128,
    ) -> None:
        scales = [128.0, 256.0, 512.0] if anchor_scales is None else anchor_scales
        ratios = [0.5, 1.0, 2.0] if anchor_ratios is None else anchor_ratios
        if not scales or not ratios or bins < 1:
            raise UserError(f"anchor_scales={scales}, anchor_ratios={ratios}, bins={bins}: give at least one of each.")
        keep_train = ProposalCount(rpn_pre_nms_train, rpn_post_nms_train)
        keep_test = ProposalCount(rpn_pre_nms_test, rpn_post_nms_test)
        super().__init__(num_classes, min_size, max_size, channels_last, keep_train, keep_test)
        self.backbone, for_rpn, for_regions = _features(backbone, weights, norm, trainable_layers)
        anchors = AnchorGenerator((tuple(scales),), (tuple(ratios),))
        self.rpn = RegionProposalNetwork(for_rpn, anchors, rpn_batch, rpn_nms_threshold, score_threshold=0.0)
        keep = Keep(score_threshold, nms_threshold, detections_per_image)
        self.roi_heads = PositionSensitiveHead(for_regions, features, num_classes, bins, roi_op, roi_batch, keep)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def _proposal_maps(self, maps: list[Tensor]) -> list[Tensor]:
        return maps[:1]

    def _classify(self, batch: ImageBatch, maps: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.roi_heads(maps[-1], rois)
        return outputs


class PositionSensitiveHead(RegionHead):
    """Classifies regions and refines their boxes by votes of their parts (Dai et al. 2016, section 2.2).

    One regressor serves all classes. Channel ``(c * k + row) * k + column`` of the maps belongs to output c of a bin.

    Args:
        channels: Of the feature map (B, C, H, W) at stride 16.
        features: Channels of the 1x1 convolution under the position-sensitive maps.
        num_classes: With the background.
        bins: k.
        op: How the cells of a bin are averaged.
        sampled: See ``RegionHead``.
        keep: See ``RegionHead``.
    """

    def __init__(
        self, channels: int, features: int, num_classes: int, bins: int, op: BinOp, sampled: int, keep: Keep
    ) -> None:
        super().__init__(sampled, keep)
        self.num_classes, self.bins, self.op = num_classes, bins, op
        self.reduce = nn.Sequential(nn.Conv2d(channels, features, 1), nn.ReLU(inplace=True))
        self.class_maps = nn.Conv2d(features, num_classes * bins**2, 1)
        self.box_maps = nn.Conv2d(features, 4 * bins**2, 1)

    def forward(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (K, classes) and deltas (K, classes, 4), float32, of regions (K, 5), see ``pool_rois``."""
        shared = self.reduce(features)
        deltas = self._vote(self.box_maps(shared), rois)
        return self._vote(self.class_maps(shared), rois), deltas[:, None].expand(-1, self.num_classes, -1)

    def _vote(self, maps: Tensor, rois: Tensor) -> Tensor:
        """Average position-sensitive maps (B, D k k, H, W) in the bins of each region and over its bins, to (K, D)."""
        if self.op == "align":
            pooled = ps_roi_align(maps.float(), rois, self.bins, 1 / STRIDE, SAMPLES)
        else:  # torchvision's kernel never reads the last row and column: they are padding here
            pooled = ps_roi_pool(functional.pad(maps.float(), (0, 1, 0, 1)), rois, self.bins, 1 / STRIDE)
        votes: Tensor = pooled.mean(dim=(2, 3))
        return votes


def _features(
    backbone: str, weights: str | None, norm: Norm, trainable_layers: int | None
) -> tuple[nn.Module, int, int]:
    """Build the backbone.

    Returns:
        A module that maps pixels to a dictionary of maps at stride 16, the first for proposals and the last for
        regions, perhaps the same; and the channels of both.
    """
    family = family_of(backbone)
    if family.last_stage is None or family.dilated is None:
        module, channels, _ = single_map(build_trunk(backbone, weights, norm), trainable_layers)
        return module, channels, channels
    trunk = build_trunk(backbone, weights, norm).freeze(trainable_layers)
    conv4, conv5 = (list[Any](trunk.layers.get_submodule(name).children()) for name in CONV4_AND_5)
    _dilate(conv5)
    module = trunk.layers.taps(trunk.stages[-2:])
    return module, conv4[-1].conv3.out_channels, conv5[-1].conv3.out_channels


def _dilate(conv5: list[Any]) -> None:
    """Let the last stage of a ResNet keep its resolution: its 3x3 convolutions are dilated after the first block."""
    first, *others = conv5
    first.conv2.stride = first.downsample[0].stride = (1, 1)
    for block in others:
        block.conv2.dilation = block.conv2.padding = (2, 2)
