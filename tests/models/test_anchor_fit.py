import numpy as np
import pytest
import torch

from lit_cv.models import FCOS, RFCN, SSD, YOLO, FasterRCNN, RetinaNet
from lit_cv.models.anchor_fit import AnchorFit
from lit_cv.models.detection.anchors import Anchored
from lit_cv.models.network import Network
from lit_cv.ops.boxes import pairwise_iou

SMALL = {"weights": None, "backbone": "squeezenet1_0"}
NETWORKS = {
    "faster_rcnn_fpn": lambda: FasterRCNN(4, min_size=96, max_size=160, **SMALL),
    "faster_rcnn_c4": lambda: FasterRCNN(4, min_size=96, max_size=160, neck="c4", anchor_scales=[24, 48], **SMALL),
    "rfcn": lambda: RFCN(4, min_size=96, max_size=160, anchor_scales=[24, 48], **SMALL | {"backbone": "resnet18"}),
    "retinanet": lambda: RetinaNet(4, min_size=None, channels=64, **SMALL),
    "ssd": lambda: SSD(4, size=128, **SMALL),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_anchors_are_those_of_a_forward_pass(name: str) -> None:
    network: Network = NETWORKS[name]().eval()
    image = torch.zeros(3, 70, 110, dtype=torch.uint8)
    batch = network.batch([image])
    with torch.no_grad():
        anchors = network(batch.pixels).anchors
    anchors = torch.cat(anchors) if isinstance(anchors, tuple) else anchors
    boxes = torch.tensor([[3.0, 4, 30, 44], [50, 10, 108, 69], [0, 0, 9, 8]])
    expected = pairwise_iou(boxes * batch.scales()[0], anchors).amax(dim=1)
    found = AnchorFit(network)(np.tile([110, 70], (3, 1)), boxes.numpy())
    assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_each_picture_has_its_own_size() -> None:
    fit = AnchorFit(NETWORKS["faster_rcnn_fpn"]())
    sizes, boxes = np.array([[110, 70], [300, 200], [110, 70]]), np.array([[3.0, 4, 30, 44]] * 3)
    together = fit(sizes, boxes)
    assert together == pytest.approx(np.concatenate([fit(sizes[[k]], boxes[[k]]) for k in range(3)]))
    assert together[0] == together[2] != together[1]


def test_networks_without_anchors_say_so() -> None:
    assert not issubclass(FCOS, Anchored)
    assert not issubclass(YOLO, Anchored)
    assert issubclass(SSD, Anchored)
