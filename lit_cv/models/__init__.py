"""Networks: plain ``nn.Module``, named by ``class_path`` in the experiments."""

from lit_cv.models.detection.detector import Detection, Detector
from lit_cv.models.detection.fcos import FCOS
from lit_cv.models.detection.retinanet import RetinaNet
from lit_cv.models.detection.sliding_window import SlidingWindowDetector
from lit_cv.models.detection.ssd import SSD
from lit_cv.models.detection.yolo import YOLO
from lit_cv.models.instances import Instance, InstanceNetwork
from lit_cv.models.localization import Localization, LocalizationNet
from lit_cv.models.network import Network
from lit_cv.models.pose import Pose, PoseNet
from lit_cv.models.rcnn.densecap import DenseCap, DescribedRegions
from lit_cv.models.rcnn.fast_rcnn import FastRCNN
from lit_cv.models.rcnn.faster_rcnn import FasterRCNN
from lit_cv.models.rcnn.mask_rcnn import MaskRCNN
from lit_cv.models.rcnn.proposer import Proposer
from lit_cv.models.rcnn.rcnn import RCNN
from lit_cv.models.rcnn.rfcn import RFCN
from lit_cv.models.segmentation.components import ComponentFCN
from lit_cv.models.segmentation.down_up import DownUpFCN
from lit_cv.models.segmentation.fcn import FCN
from lit_cv.models.segmentation.full_resolution import FullResolutionFCN
from lit_cv.models.segmentation.segmenter import Segmentation, Segmenter
from lit_cv.models.segmentation.sliding_window import SlidingWindowSegmenter

__all__ = [
    "FCN",
    "FCOS",
    "RCNN",
    "RFCN",
    "SSD",
    "YOLO",
    "ComponentFCN",
    "DenseCap",
    "DescribedRegions",
    "Detection",
    "Detector",
    "DownUpFCN",
    "FastRCNN",
    "FasterRCNN",
    "FullResolutionFCN",
    "Instance",
    "InstanceNetwork",
    "Localization",
    "LocalizationNet",
    "MaskRCNN",
    "Network",
    "Pose",
    "PoseNet",
    "Proposer",
    "RetinaNet",
    "Segmentation",
    "Segmenter",
    "SlidingWindowDetector",
    "SlidingWindowSegmenter",
]
