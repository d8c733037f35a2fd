"""Base class of detectors with a ``RoIHead``: Fast R-CNN, Faster R-CNN and its successors."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from lit_cv.models.backbones.classifier_ends import Head, backbone_head
from lit_cv.models.detection.detector import Detector
from lit_cv.models.network import ClassOrder
from lit_cv.models.rcnn.region_heads import mlp_head
from lit_cv.models.resizing import FittedImages
from lit_cv.ops.limits import at_least
from lit_cv.ops.roi import RoIOp


class RoIHeadDetector(FittedImages, Detector):
    """A detector that pools regions from feature maps and classifies them with a ``RoIHead``.

    Args:
        roi_op: Operator that pools regions: ``align``, ``align_half_pixel``, ``pool`` or ``bilinear``, see
            ``lit_cv.ops.roi.pool_rois``. ONNX has no operator for ``pool``.
        head: Layers applied to each region. ``mlp``: two new layers. ``backbone``, only on the single map at stride 16:
            the last layers of the classification network with their weights (fc6 and fc7 of VGG, as in the papers), see
            ``backbone_head``.
        head_features: Width of the two layers of ``mlp``.
        options: Arguments of ``FittedImages`` and ``Detector``.
    """

    class_layers: ClassVar[Mapping[str, ClassOrder]] = {"roi_heads.box_predictor.*": "first"}

    def __init__(
        self, *args: Any, roi_op: RoIOp = "align", head: Head = "mlp", head_features: int = 1024, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        at_least(1, head_features=head_features)
        self.roi_op: RoIOp = roi_op
        self.region_head: Head = head
        self.head_features = head_features

    def build_box_head(self, channels: int) -> tuple[nn.Module, int]:
        """Build the layers that map pooled regions (K, ``channels``, 7, 7) to vectors (K, D); return them and D."""
        if self.region_head == "backbone":
            return backbone_head(self.backbone_name, self.weights, self.norm)
        return mlp_head(channels, self.head_features)
