"""Faster R-CNN (Ren et al. 2015): region proposals and region classification on shared features."""

from typing import Any, Literal

from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lit_cv.errors import UserError
from lit_cv.models.backbones.necks import Pyramid, SingleMap, feature_pyramid, single_map
from lit_cv.models.detection.anchors import anchor_shapes
from lit_cv.models.images import Size
from lit_cv.models.rcnn.roi_detector import RoIHeadDetector
from lit_cv.models.rcnn.roi_head import RoIHead
from lit_cv.models.rcnn.two_stage import TwoStageDetector
from lit_cv.ops.limits import above_zero, at_least, fractions

PYRAMID_CHANNELS = 256  # Lin et al. 2017, section 3


class FasterRCNN(RoIHeadDetector, TwoStageDetector):
    """Faster R-CNN on any backbone, with one feature map or a pyramid.

    With the same settings, the parameters, losses and detections are those of torchvision's ``FasterRCNN``, whose
    published state dicts load with ``load_state_dict``.

    Args:
        neck: ``fpn`` builds a feature pyramid; ``c4`` uses the single map at stride 16, as in the paper.
        pyramid_channels: Channels of each map of the pyramid, 256 by default. The cost of the pyramid and of the RPN
            grows with its square. With ``c4`` there is no pyramid, and it is refused.
        anchor_scales: Square roots of the anchors' areas, in pixels of the resized image. With ``c4``, a list of scales
            for the single map (default 128, 256, 512). With ``fpn``, one scale or one list of scales for each level,
            finest first (default 32, doubled from level to level).
        rpn_score_threshold: Proposals with a lower probability are removed.
        options: Arguments of ``RoIHeadDetector`` and ``TwoStageDetector``.
    """

    roi_heads: RoIHead

    def __init__(
        self,
        *args: Any,
        neck: Literal["fpn", "c4"] = "fpn",
        pyramid_channels: int | None = None,
        anchor_scales: list[float] | list[list[float]] | None = None,
        rpn_score_threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        fractions(rpn_score_threshold=rpn_score_threshold)
        for scales in anchor_scales or ():
            above_zero(anchor_scales=scales)
        if self.region_head == "backbone" and neck != "c4":
            raise UserError(f"head: backbone needs the single map of neck: c4, not neck: {neck}; choose head: mlp.")
        backbone, channels, levels = self._build_neck(neck, pyramid_channels)
        self.backbone, self.strides = backbone, backbone.strides
        anchors = AnchorGenerator(*anchor_shapes(anchor_scales, self.anchor_ratios, levels))
        self.rpn = self.build_rpn(channels, anchors, rpn_score_threshold)
        box_head, features = self.build_box_head(channels)
        self.roi_heads = RoIHead(box_head, features, self.num_classes, self.roi_op, self.roi_batch, self.keep)
        self.use_memory_format()

    def _build_neck(
        self, neck: Literal["fpn", "c4"], pyramid_channels: int | None
    ) -> tuple[Pyramid | SingleMap, int, int]:
        """Build the backbone up to the maps; return it, the channels of each map and the number of maps."""
        if neck == "fpn":
            width = PYRAMID_CHANNELS if pyramid_channels is None else pyramid_channels
            at_least(1, pyramid_channels=width)
            return feature_pyramid(self.build_trunk(), self.trainable_layers, width)
        if pyramid_channels is not None:
            raise UserError(f"pyramid_channels: {pyramid_channels} has no effect with neck: c4; leave it out.")
        return single_map(self.build_trunk(), self.trainable_layers)

    def _classify(self, size: Size, maps: list[Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.roi_heads(*self.pooled_maps(maps), rois)
        return outputs

    def pooled_maps(self, maps: list[Tensor]) -> tuple[list[Tensor], list[int]]:
        """Return the maps that regions are pooled from, all but the pyramid's pooled top, and their strides."""
        return maps[: len(self.strides)], self.strides
