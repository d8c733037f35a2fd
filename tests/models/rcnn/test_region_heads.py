from pathlib import Path

import pytest
import torch
import torchvision

from lit_cv.errors import UserError
from lit_cv.models import FasterRCNN
from lit_cv.models.backbones.classifier_ends import backbone_head


def test_the_head_is_the_end_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    head, features = backbone_head("resnet18", str(tmp_path / "weights.pth"), "frozen")
    regions = torch.randn(3, 256, 7, 7)
    with torch.no_grad():
        expected = network.layer4(regions).mean(dim=(2, 3))
        found = head.eval()(regions)
    assert found.shape == (3, features)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_vgg_ends_in_fc6_and_fc7() -> None:
    head, features = backbone_head("vgg11", None, "frozen")
    shapes = [tuple(parameter.shape) for parameter in head.parameters()]
    assert shapes == [(4096, 512 * 49), (4096,), (4096, 4096), (4096,)]
    assert features == 4096


def test_families_without_such_an_end_and_pyramids_are_refused() -> None:
    with pytest.raises(UserError, match="not 'mobilenet_v2': use mlp"):
        backbone_head("mobilenet_v2", None, "frozen")
    with pytest.raises(UserError, match="neck: c4"):
        FasterRCNN(3, backbone="resnet18", neck="fpn", head="backbone")


def test_a_detector_trains_through_it() -> None:
    network = FasterRCNN(3, backbone="resnet18", norm="train", neck="c4", head="backbone", min_size=64, max_size=64)
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)]
    targets = [{"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])}]
    sum(network.losses(images, targets).values()).backward()
    assert all(parameter.grad is not None for parameter in network.roi_heads.box_head.parameters())
