"""SSD against torchvision's on the same weights and images, and against numbers of the paper."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import ssd300_vgg16
from torchvision.models.detection.ssd import SSD as PeerSSD

from lit_cv.models import SSD
from lit_cv.models.detection.ssd import SSDOutputs
from tests.helpers.scenes import (
    CLASSES,
    as_peer_images,
    assert_detections_of_peer,
    assert_losses_of_peer,
    load_from_peer,
    randomize,
    scene,
)


@pytest.fixture(scope="module")
def pair() -> tuple[SSD, PeerSSD]:
    """Return our network and torchvision's with one state dict, loaded strictly."""
    theirs = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=CLASSES)
    randomize(theirs)
    theirs.backbone.features[0].weight.data.div_(60)  # its pixels have values of up to 255
    for convolution in (*theirs.head.regression_head.module_list, *theirs.head.classification_head.module_list):
        convolution.weight.data.mul_(0.1)
    ours = SSD(CLASSES)
    load_from_peer(ours, theirs)
    return ours, theirs


def test_losses_and_gradients_are_torchvisions(pair: tuple[SSD, PeerSSD]) -> None:
    ours, theirs = pair
    images, targets = scene([3, 0], [(96, 128), (150, 110)])
    expected = theirs.train()(as_peer_images(images), targets)
    losses = ours.losses(images, targets)
    assert_losses_of_peer(ours, theirs, losses, [expected["classification"], expected["bbox_regression"]])


def test_predicts_torchvisions_boxes(pair: tuple[SSD, PeerSSD]) -> None:
    assert_detections_of_peer(*pair)


def test_conv4_3_has_length_20_in_every_cell() -> None:
    network = SSD(CLASSES)
    assert torch.equal(network.backbone.scale_weight, torch.full((512,), 20.0))
    images, _ = scene([0], [(96, 128)])
    first = next(iter(network.backbone(network.batch(images).pixels).values()))
    torch.testing.assert_close(first.norm(dim=1), torch.full((1, 38, 38), 20.0))


@pytest.mark.parametrize("atrous", [True, False])
def test_ssd512_has_the_maps_and_default_boxes_of_lius_code(atrous: bool) -> None:
    network = SSD(CLASSES, size=512, atrous=atrous).eval()
    batch = network.batch([torch.zeros(3, 20, 30, dtype=torch.uint8)])
    maps: list[Tensor] = []
    network.backbone.register_forward_hook(lambda _module, _args, levels: maps.extend(levels.values()))
    with torch.no_grad():
        logits, deltas, anchors = network(batch.pixels)
    assert [level.shape[-1] for level in maps] == [64, 32, 16, 8, 4, 2, 1]
    smallest = [35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6]
    ratios = [[2], [2, 3], [2, 3], [2, 3], [2, 3], [2], [2]]
    start = 0
    for level, side in enumerate([64, 32, 16, 8, 4, 2, 1]):
        low, high = smallest[level], math.sqrt(smallest[level] * smallest[level + 1])
        shapes = [(low, low), (high, high)]
        for ratio in ratios[level]:
            wide, narrow = low * math.sqrt(ratio), low / math.sqrt(ratio)
            shapes += [(wide, narrow), (narrow, wide)]
        count = side * side * len(shapes)
        boxes = anchors[start : start + count].view(side, side, len(shapes), 4)
        start += count
        step = 512 / side
        for row, column in [(0, 0), (side - 1, side // 2)]:
            center = torch.tensor([(column + 0.5) * step, (row + 0.5) * step])
            half = torch.tensor(shapes).clamp(max=512) / 2
            wanted = torch.cat((center - half, center + half), dim=1)
            torch.testing.assert_close(boxes[row, column], wanted, rtol=0, atol=1e-2)
    assert start == len(anchors) == logits.shape[1] == deltas.shape[1] == 24564


def test_mining_takes_the_three_worst_negatives_for_each_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SSD(3, backbone="tiny", size=96, anchor_ratios=[[]] * 3)
    anchors = torch.tensor([[10.0 * place, 0.0, 10.0 * place + 10, 10.0] for place in range(9)])
    logits = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0)) * 3
    targets = [
        # One object exactly on default box 2, one that covers 6 of the 10 pixels of box 5 and 4 of box 6.
        {"boxes": torch.tensor([[20.0, 0, 30, 10], [54.0, 0, 64, 10]]), "labels": torch.tensor([1, 2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    positives = {2: 1, 5: 2}

    outputs = SSDOutputs(logits, torch.zeros(2, 9, 4), anchors)
    monkeypatch.setattr(network, "forward", lambda pixels: outputs)
    losses = network.losses([torch.zeros(3, 96, 96, dtype=torch.uint8)] * 2, targets)

    def entropy(image: int, place: int, label: int) -> float:
        exponentials = [math.exp(value) for value in logits[image, place].tolist()]
        return -math.log(exponentials[label] / sum(exponentials))

    negatives = sorted((entropy(0, place, 0) for place in range(9) if place not in positives), reverse=True)
    assert len(negatives) == 7  # one more than the three for each of the two positives; the empty image has none
    wanted = sum(entropy(0, place, label) for place, label in positives.items()) + sum(negatives[:6])
    assert losses["class"].item() == pytest.approx(wanted / 2, rel=1e-5)
    # The box loss of box 5: moved by 4 of its 10 pixels, times 10 of the coding, smooth L1 of 4.
    assert losses["box"].item() == pytest.approx((4 - 0.5) / 2, rel=1e-5)
