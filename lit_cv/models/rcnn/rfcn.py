"""R-FCN (Dai et al. 2016): a fully convolutional network scores the parts of regions, and each region averages them."""

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import ps_roi_align, ps_roi_pool

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of
from lit_cv.models.backbones.necks import single_map
from lit_cv.models.detection.detector import Keep
from lit_cv.models.images import Size
from lit_cv.models.rcnn.roi_head import RegionHead
from lit_cv.models.rcnn.two_stage import TwoStageDetector
from lit_cv.models.resizing import MinSize
from lit_cv.ops.limits import above_zero, at_least
from lit_cv.ops.roi_cpu import SAMPLES

BinOp = Literal["align", "pool"]

STRIDE = 16


class RFCN(TwoStageDetector):
    """R-FCN on any backbone.

    ResNets with bottlenecks (resnet50 and larger) are used as in the paper: conv5 is dilated instead of halving its map
    and feeds the position-sensitive maps, and conv4 feeds the region proposal network. On other networks, the map at
    stride 16 feeds both. Regions are sampled as in Faster R-CNN; online hard example mining is not implemented.

    Args:
        bins: Number of bins k along each side of a region. Each of the k x k bins has its own score maps.
        roi_op: ``pool`` averages the cells of a bin, as in the paper; ``align`` averages 2 x 2 interpolated points.
            ONNX has no operator for either.
        features: Channels of the 1x1 convolution before the position-sensitive maps.
        anchor_scales: Square roots of the anchors' areas, in pixels of the resized image. Default: 128, 256, 512.
        options: Arguments of ``TwoStageDetector``.
    """

    class_layers = {"roi_heads.class_maps.*": "first"}

    def __init__(
        self,
        *args: Any,
        bins: int = 7,
        roi_op: BinOp = "pool",
        features: int = 1024,
        anchor_scales: list[float] | None = None,
        min_size: MinSize = 600,
        max_size: int = 1000,
        nms_threshold: float = 0.3,
        rpn_pre_nms_train: int = 12000,
        rpn_pre_nms_test: int = 6000,
        rpn_post_nms_test: int = 300,
        roi_batch: int = 128,
        **options: Any,
    ) -> None:
        at_least(1, features=features)
        above_zero(anchor_scales=anchor_scales)
        super().__init__(
            *args,
            min_size=min_size,
            max_size=max_size,
            nms_threshold=nms_threshold,
            rpn_pre_nms_train=rpn_pre_nms_train,
            rpn_pre_nms_test=rpn_pre_nms_test,
            rpn_post_nms_test=rpn_post_nms_test,
            roi_batch=roi_batch,
            **options,
        )
        scales, ratios = [128.0, 256.0, 512.0] if anchor_scales is None else anchor_scales, self.anchor_ratios
        if not scales or not ratios or bins < 1:
            raise UserError(f"anchor_scales={scales}, anchor_ratios={ratios}, bins={bins}: give at least one of each.")
        self.backbone, for_rpn, for_regions = self._build_backbone()
        self.rpn = self.build_rpn(for_rpn, AnchorGenerator((tuple(scales),), (tuple(ratios),)))
        self.roi_heads = PositionSensitiveHead(
            for_regions, features, self.num_classes, bins, roi_op, roi_batch, self.keep
        )
        self.use_memory_format()

    def _build_backbone(self) -> tuple[nn.Module, int, int]:
        """Build the backbone.

        Returns:
            A module that maps pixels to a dictionary of maps at stride 16, the first for proposals and the last for
            regions (possibly the same); and the channels of both.
        """
        family = family_of(self.backbone_name)
        if family.last_stage is None or family.dilated is None:
            module, channels, _ = single_map(self.build_trunk(), self.trainable_layers)
            return module, channels, channels
        trunk = self.build_trunk().freeze(self.trainable_layers)
        conv4, conv5 = trunk.stages[-2:]
        _dilate(list(trunk.layers.get_submodule(conv5.layers[-1]).children()))
        return trunk.layers.taps((conv4, conv5)), conv4.channels, conv5.channels

    def _proposal_maps(self, maps: list[Tensor]) -> list[Tensor]:
        return maps[:1]

    def _classify(self, size: Size, maps: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.roi_heads(maps[-1], rois)
        return outputs


class PositionSensitiveHead(RegionHead):
    """Classifies regions and refines their boxes by the votes of their bins (Dai et al. 2016, section 2.2).

    All classes share one box regressor. Channel ``(c * k + row) * k + column`` of the maps belongs to output c of a
    bin.

    Args:
        channels: Channels of the feature map (B, C, H, W) at stride 16.
        features: Channels of the 1x1 convolution before the position-sensitive maps.
        num_classes: Number of classes with the background.
        bins: Number of bins k along each side of a region.
        op: ``pool`` or ``align``, see ``RFCN``.
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
        """Average position-sensitive maps (B, D k k, H, W) in each bin of a region and over its bins, to (K, D)."""
        if self.op == "align":
            pooled = ps_roi_align(maps.float(), rois, self.bins, 1 / STRIDE, SAMPLES)
        else:  # torchvision's kernel never reads the last row and column, so one of each is added
            pooled = ps_roi_pool(functional.pad(maps.float(), (0, 1, 0, 1)), rois, self.bins, 1 / STRIDE)
        votes: Tensor = pooled.mean(dim=(2, 3))
        return votes


def _dilate(conv5: list[Any]) -> None:
    """Make the last stage of a ResNet keep its resolution by dilating the 3x3 convolutions after the first block."""
    first, *others = conv5
    first.conv2.stride = first.downsample[0].stride = (1, 1)
    for block in others:
        block.conv2.dilation = block.conv2.padding = (2, 2)
