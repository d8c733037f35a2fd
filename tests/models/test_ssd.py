"""SSD against torchvision's own on the same weights and images."""

import pytest
import torch
from scenes import CLASSES, as_peer_images, randomise, scene
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.ssd import SSD as PeerSSD

from lit_cv.models import SSD


@pytest.fixture(scope="module")
def pair() -> tuple[SSD, PeerSSD]:
    """Return our network and torchvision's with one state dict, loaded strictly."""
    theirs = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=CLASSES)
    randomise(theirs)
    theirs.backbone.features[0].weight.data.div_(60)  # its pixels are that large
    for convolution in (*theirs.head.regression_head.module_list, *theirs.head.classification_head.module_list):
        convolution.weight.data.mul_(0.1)
    ours = SSD(CLASSES)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def test_losses_and_gradients_are_torchvisions(pair: tuple[SSD, PeerSSD]) -> None:
    ours, theirs = pair
    images, targets = scene([3, 0], [(96, 128), (150, 110)])
    expected = theirs.train()(as_peer_images(images), targets)
    losses = ours.losses(images, targets)
    for name, value in zip(ours.loss_names, (expected["classification"], expected["bbox_regression"]), strict=True):
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-5)
    ours.zero_grad()
    theirs.zero_grad()
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert (parameter.grad - gradients[name].grad).norm() <= 1e-2 * gradients[name].grad.norm() + 1e-8, name


def test_predicts_torchvisions_boxes(pair: tuple[SSD, PeerSSD]) -> None:
    ours, theirs = pair
    images, _ = scene([0, 0], [(96, 128), (150, 110)])
    with torch.no_grad():
        expected = theirs.eval()(as_peer_images(images))
    for found, wanted in zip(ours.train().predict(images), expected, strict=True):
        assert len(wanted["boxes"]) > 10
        assert torch.equal(found["labels"], wanted["labels"])
        torch.testing.assert_close(found["scores"], wanted["scores"], rtol=0, atol=5e-5)
        torch.testing.assert_close(found["boxes"], wanted["boxes"], rtol=0, atol=1e-3)
