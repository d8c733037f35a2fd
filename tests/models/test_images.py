"""Images and targets that networks refuse, each in one sentence."""

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.models import FCOS, RFCN, SSD, FasterRCNN, FastRCNN, Network, RetinaNet
from tests.helpers.scenes import CLASSES, scene

SMALL = {"min_size": 64, "max_size": 96}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(3, 60, 70), "torch.float32"),
        (torch.zeros(60, 70, 3, dtype=torch.uint8), "(60, 70, 3)"),
        (torch.zeros(1, 60, 70, dtype=torch.uint8), "(1, 60, 70)"),
        (torch.zeros(1, 3, 60, 70, dtype=torch.uint8), "(1, 3, 60, 70)"),
    ],
)
def test_images_of_another_type_or_shape_are_refused(image: torch.Tensor, words: str) -> None:
    network = SSD(CLASSES, backbone="tiny", size=100)
    with pytest.raises(UserError, match="networks take uint8 RGB images") as raised:
        network.predict([image])
    assert words in str(raised.value)


@pytest.mark.parametrize("label", [0, CLASSES, 255])
@pytest.mark.parametrize(
    "network",
    [
        SSD(CLASSES, backbone="tiny", size=100),
        RetinaNet(CLASSES, backbone="tiny", channels=16, **SMALL),
        FCOS(CLASSES, backbone="tiny", channels=64, **SMALL),
        FasterRCNN(CLASSES, backbone="tiny", head_features=8, **SMALL),
        FastRCNN(CLASSES, backbone="tiny", head_features=8, **SMALL),
        RFCN(CLASSES, backbone="tiny", features=8, bins=2, **SMALL),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_label_beyond_the_classes_is_refused(network: Network, label: int) -> None:
    images, targets = scene([2, 1], [(64, 96)] * 2)
    targets[1]["labels"] = torch.tensor([label])
    with pytest.raises(UserError, match=f"labels of a target are .{label}., but num_classes: 5"):
        network.losses(images, targets)
