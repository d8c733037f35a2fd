"""FCOS against torchvision's on the same weights and images, and the assignment of cells against the paper."""

import math

import pytest
import torch
from torchvision.models.detection import fcos_resnet50_fpn
from torchvision.models.detection.fcos import FCOS as PeerFCOS

from lit_cv.errors import UserError
from lit_cv.models import FCOS
from lit_cv.models.detection.fcos import center_ness, decode_cells, match_cells
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
def pair() -> tuple[FCOS, PeerFCOS]:
    """Return our network and torchvision's with one state dict, loaded strictly."""
    theirs = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES, **SIZES)
    randomize(theirs)
    head = theirs.head.classification_head
    head.cls_logits.bias.data[0] = -30  # torchvision would also detect the background
    theirs.head.regression_head.bbox_reg.bias.data.add_(1.5)  # otherwise boxes would have no area
    ours = FCOS(CLASSES, norm="train", **SIZES)
    load_from_peer(ours, theirs)
    return ours.eval(), theirs.eval()


def test_losses_and_gradients_are_torchvisions(pair: tuple[FCOS, PeerFCOS]) -> None:
    ours, theirs = pair
    images, targets = scene([3, 0, 6], [(96, 128), (150, 110), (128, 128)])
    theirs.training = True  # without switching its batch norms to train mode
    expected = theirs(as_peer_images(images), targets)
    theirs.training = False
    losses = ours.losses(images, targets)
    names = ("classification", "bbox_regression", "bbox_ctrness")
    assert_losses_of_peer(ours, theirs, losses, [expected[name] for name in names])


def test_predicts_torchvisions_boxes(pair: tuple[FCOS, PeerFCOS]) -> None:
    assert_detections_of_peer(*pair)


def row(stride: int, cells: int) -> torch.Tensor:
    """Return a row of cells with the centers 0, stride, 2 * stride, ... on y = 0."""
    low = (torch.arange(cells) - 0.5) * stride
    half = torch.full_like(low, stride / 2)
    return torch.stack((low, -half, low + stride, half), dim=1)


def test_cells_are_assigned_as_in_the_paper() -> None:
    grid = torch.cat((row(8, 16), row(16, 8), row(32, 4)))
    boxes = torch.tensor([[[10.0, -20.0, 50.0, 20.0], [18.0, -10.0, 42.0, 10.0], [0.0, -70.0, 126.0, 75.0], [0.0] * 4]])
    index, positive = match_cells(boxes, grid, [16, 8, 4], radius=1.5)
    # Stride 8 predicts boxes that reach less than 64 pixels, from cells within 12 pixels of their center. Those at 24,
    # 32 and 40 lie in both of the first two boxes and are assigned to the smaller one.
    expected = dict.fromkeys((3, 4, 5), 1)
    # Stride 16 predicts boxes that reach 64 to 128 pixels: the third box, center 63, from cells within 24 pixels.
    expected |= dict.fromkeys((16 + 3, 16 + 4, 16 + 5), 2)
    # Stride 32 is the last and predicts all boxes that reach at least 128 pixels: none.
    found = {cell: int(index[0, cell]) for cell in positive[0].nonzero()[:, 0].tolist()}
    assert found == expected


def test_center_ness_is_that_of_the_paper() -> None:
    square = torch.tensor([[28.0, 28.0, 36.0, 36.0]])  # left 2, right 8, top 12, bottom 3
    rated = center_ness(torch.tensor([[30.0, 20.0, 40.0, 35.0]]), square)
    assert rated.item() == pytest.approx(math.sqrt(2 / 8 * 3 / 12))


def test_offsets_are_distances_in_strides() -> None:
    square = torch.tensor([[28.0, 28.0, 36.0, 36.0]])
    decoded = decode_cells(torch.tensor([[0.25, 1.5, 1.0, 0.375]]), square)
    assert decoded.tolist() == [[30.0, 20.0, 40.0, 35.0]]


def test_channels_that_the_head_cannot_group_are_refused() -> None:
    with pytest.raises(UserError, match=r"channels=48: .* a multiple of 32"):
        FCOS(CLASSES, backbone="tiny", channels=48)
