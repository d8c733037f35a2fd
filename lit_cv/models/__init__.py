"""Networks: plain ``nn.Module``, named by ``class_path`` in the experiments."""

from lit_cv.models.densecap import DenseCap, DescribedRegions
from lit_cv.models.detector import Detection, Detector
from lit_cv.models.fast_rcnn import FastRCNN
from lit_cv.models.faster_rcnn import FasterRCNN
from lit_cv.models.fcn import FCN
from lit_cv.models.fcos import FCOS
from lit_cv.models.full_resolution import FullResolutionFCN
from lit_cv.models.localization import Localization, LocalizationNet
from lit_cv.models.mask_rcnn import Instance, MaskRCNN
from lit_cv.models.network import Network
from lit_cv.models.pose import Pose, PoseNet
from lit_cv.models.rcnn import RCNN
from lit_cv.models.retinanet import RetinaNet
from lit_cv.models.rfcn import RFCN
from lit_cv.models.segmenter import Segmentation, Segmenter
from lit_cv.models.sliding_window import SlidingWindowSegmenter
from lit_cv.models.sliding_window_detector import SlidingWindowDetector
from lit_cv.models.ssd import SSD
from lit_cv.models.yolo import YOLO

__all__ = [
    "FCN",
    "FCOS",
    "RCNN",
    "RFCN",
    "SSD",
    "YOLO",
    "DenseCap",
    "DescribedRegions",
    "Detection",
    "Detector",
    "FastRCNN",
    "FasterRCNN",
    "FullResolutionFCN",
    "Instance",
    "Localization",
    "LocalizationNet",
    "MaskRCNN",
    "Network",
    "Pose",
    "PoseNet",
    "RetinaNet",
    "Segmentation",
    "Segmenter",
    "SlidingWindowDetector",
    "SlidingWindowSegmenter",
]
