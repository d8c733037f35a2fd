"""Networks: plain ``nn.Module``, named by ``class_path`` in the experiments."""

from lit_cv.models.detector import Detection, Detector
from lit_cv.models.faster_rcnn import FasterRCNN
from lit_cv.models.network import Network
from lit_cv.models.ssd import SSD

__all__ = ["SSD", "Detection", "Detector", "FasterRCNN", "Network"]
