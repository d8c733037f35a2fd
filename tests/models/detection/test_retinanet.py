"""RetinaNet against torchvision's on the same weights and images, and the focal loss against its equation."""

import math

import pytest
import torch
from torchvision.models.detection import retinanet_resnet50_fpn
from torchvision.models.detection.retinanet import RetinaNet as PeerRetinaNet

from lit_cv.errors import UserError
from lit_cv.models import RetinaNet
from tests.helpers.scenes import (
    CLASSES,
    as_peer_images,
    assert_detections_of_peer,
    assert_losses_of_peer,
    load_from_peer,
    randomize,
    scene,
)

SIZES = {"min_size": 128, "max_size": 200}


@pytest.fixture(scope="module")
def pair() -> tuple[RetinaNet, PeerRetinaNet]:
    """Return our network and torchvision's with one state dict, loaded strictly."""
    theirs = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES, **SIZES)
    randomize(theirs)
    head = theirs.head.classification_head
    for layer in (head.cls_logits, theirs.head.regression_head.bbox_reg):
        layer.weight.data.mul_(0.2)
    head.cls_logits.bias.data.view(-1, CLASSES)[:, 0] = -20  # torchvision would also detect the background
    ours = RetinaNet(CLASSES, norm="train", **SIZES)
    load_from_peer(ours, theirs)
    return ours.eval(), theirs.eval()


def peer_losses(theirs: PeerRetinaNet, images: list[torch.Tensor], targets: list[dict]) -> dict[str, torch.Tensor]:
    """Return torchvision's losses without switching its batch norms to train mode."""
    theirs.training = True
    losses = theirs(as_peer_images(images), targets)
    theirs.training = False
    return losses


def test_losses_and_gradients_are_torchvisions(pair: tuple[RetinaNet, PeerRetinaNet]) -> None:
    ours, theirs = pair
    images, targets = scene([3, 0, 6], [(96, 128), (150, 110), (128, 128)])
    expected = peer_losses(theirs, images, targets)
    losses = ours.losses(images, targets)
    assert_losses_of_peer(ours, theirs, losses, [expected["classification"], expected["bbox_regression"]])


def test_predicts_torchvisions_boxes(pair: tuple[RetinaNet, PeerRetinaNet]) -> None:
    assert_detections_of_peer(*pair)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.75, 0.5)])
def test_class_loss_is_the_focal_loss_of_the_paper(alpha: float, gamma: float) -> None:
    network = RetinaNet(
        CLASSES,
        backbone="tiny",
        channels=32,
        anchor_scales=[[32.0]] * 4,
        anchor_ratios=[1.0],
        focal_alpha=alpha,
        focal_gamma=gamma,
        min_size=64,
        max_size=64,
    )
    layer = network.head.classification_head.cls_logits
    layer.weight.data.zero_()
    layer.bias.data.fill_(math.log(0.3 / 0.7))  # every anchor predicts the probability 0.3 for every class
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    # Anchors of 32 pixels lie on multiples of 8, 16, 32 and 64. The object equals the anchors at 32. Those shifted by 8
    # pixels have IoU 24 / 40 = 0.6 (positive), those shifted diagonally 576 / 1472 = 0.39, others less (negative).
    target = {"boxes": torch.tensor([[16.0, 16.0, 48.0, 48.0]]), "labels": torch.tensor([2])}
    positives, anchors = (1 + 4) + 1 + 1, 64 + 16 + 4 + 1
    of_positive = -alpha * 0.7**gamma * math.log(0.3)
    of_negative = -(1 - alpha) * 0.3**gamma * math.log(0.7)
    expected = (positives * of_positive + (anchors * CLASSES - positives) * of_negative) / positives
    assert network.losses([image], [target])["class"].item() == pytest.approx(expected, rel=1e-5)


def test_anchors_between_the_thresholds_are_ignored() -> None:
    network = RetinaNet(
        3, backbone="tiny", channels=32, anchor_scales=[[32.0]] * 4, anchor_ratios=[1.0], min_size=64, max_size=64
    )
    layer = network.head.classification_head.cls_logits
    layer.weight.data.zero_()
    layer.bias.data.zero_()
    # Anchors of 32 pixels lie on multiples of 8, 16, 32 and 64. Those at (32, 32), (32, 40) and (32, 48) lie inside the
    # object: IoU 1024 / 1536. Those 8 pixels outside of these have 768 / 1792 = 0.43, all others less than 0.4.
    target = {"boxes": torch.tensor([[16.0, 16.0, 48.0, 64.0]]), "labels": torch.tensor([1])}
    anchors, positives, ignored = 64 + 16 + 4 + 1, 3 + 2 + 1, 3 + 3 + 2
    unit = 0.25 * math.log(2)  # (1 - p) ** 2 * -log(p) at p = 0.5
    negatives = (anchors - ignored) * 3 - positives
    expected = (0.25 * unit * positives + 0.75 * unit * negatives) / positives
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    assert network.losses([image], [target])["class"].item() == pytest.approx(expected, rel=1e-5)


def test_levels_follow_the_backbone() -> None:
    assert RetinaNet(CLASSES, backbone="tiny").anchor_generator.sizes == tuple(
        tuple(int(scale * 2 ** (octave / 3)) for octave in range(3)) for scale in (32, 64, 128, 256)
    )
    assert len(RetinaNet(CLASSES, backbone="resnet18").anchor_generator.sizes) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor_scales": [[32.0]] * 3}, r"each of the 4 levels \(strides \[8, 16, 32, 64\]\)"),
        ({"anchor_scales": [[32.0], [64.0], [128.0], [256.0, 300.0]]}, "all equally long"),
        ({"anchor_scales": [[]] * 4}, "a list of scales"),
        ({"anchor_ratios": []}, "at least one ratio"),
        ({"focal_alpha": -1.0}, r"focal_alpha=-1.0: .* in \[0, 1\]"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RetinaNet(CLASSES, backbone="tiny", **options)
