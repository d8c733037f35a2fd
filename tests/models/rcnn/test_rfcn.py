"""R-FCN: position-sensitive pooling against a plain implementation, and its losses against hand-computed ones."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter

from lit_cv.errors import UserError
from lit_cv.models import RFCN
from lit_cv.models.detection.detector import Keep
from lit_cv.models.rcnn.rfcn import PositionSensitiveHead
from lit_cv.models.rcnn.roi_head import RegionSample
from lit_cv.models.rcnn.rpn import BETA
from tests.helpers.scenes import CLASSES, scene

ROIS = [[0, 0, 0, 47, 63], [1, 8, 16, 90, 40], [1, 33, 3, 41, 127], [0, 100, 100, 104, 103], [1, 70, 90, 180, 200]]


def head(bins: int = 3, op: str = "pool") -> PositionSensitiveHead:
    return PositionSensitiveHead(6, 8, CLASSES, bins, op, 64, Keep(0.05, 0.3, 100))


def average_bins(maps: Tensor, roi: list[float], outputs: int, bins: int) -> Tensor:
    """Average each output in each bin of a region on its own map (Dai et al. 2016, eq. 1): outputs x bins x bins."""
    image, *corners = roi
    x1, y1, x2, y2 = (math.floor(corner / 16 + 0.5) for corner in corners)
    tall, wide = max(y2 - y1, 1) / bins, max(x2 - x1, 1) / bins
    pooled = torch.zeros(outputs, bins, bins)
    for output in range(outputs):
        for row in range(bins):
            for column in range(bins):
                rows = range(max(math.floor(y1 + row * tall), 0), min(math.ceil(y1 + (row + 1) * tall), maps.shape[2]))
                columns = range(
                    max(math.floor(x1 + column * wide), 0), min(math.ceil(x1 + (column + 1) * wide), maps.shape[3])
                )
                cells = [maps[image, (output * bins + row) * bins + column, y, x] for y in rows for x in columns]
                pooled[output, row, column] = sum(cells) / len(cells) if cells else 0
    return pooled


@pytest.mark.parametrize("bins", [1, 3, 4])
def test_a_region_averages_its_bins_on_their_own_maps(bins: int) -> None:
    torch.manual_seed(0)
    network, features = head(bins), torch.randn(2, 6, 8, 8)
    logits, deltas = network(features, torch.tensor(ROIS, dtype=torch.float32))
    shared = network.reduce(features)
    scores, boxes = network.class_maps(shared).detach(), network.box_maps(shared).detach()
    for index, roi in enumerate(ROIS):
        votes = average_bins(scores, roi, CLASSES, bins).mean(dim=(1, 2))
        torch.testing.assert_close(logits[index], votes, rtol=1e-4, atol=1e-5)
        votes = average_bins(boxes, roi, 4, bins).mean(dim=(1, 2))
        torch.testing.assert_close(deltas[index], votes.expand(CLASSES, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["pool", "align"])
def test_a_bin_reads_only_its_part_of_the_region(op: str) -> None:
    network = head(3, op)
    maps = torch.zeros(1, CLASSES * 9, 18, 18, requires_grad=True)
    network._vote(maps, torch.tensor([[0.0, 0.0, 0.0, 288.0, 288.0]]))[0, 2].backward()
    read = maps.grad.view(CLASSES, 3, 3, 3, 6, 3, 6).sum(dim=(4, 6))  # output, bin, part of the map
    part = torch.eye(3)[:, None, :, None] * torch.eye(3)[None, :, None, :] / 9
    torch.testing.assert_close(read[2], part, rtol=0, atol=0.02)  # align reads half a cell more
    assert not read[[0, 1, 3, 4]].any()


def test_gradients_reach_the_cells_that_pooling_reads() -> None:
    torch.manual_seed(0)
    network, rois = head(3), torch.tensor([[0.0, 5, 5, 60, 120], [0.0, 0, 0, 128, 128], [0.0, 90, 90, 128, 128]])
    maps = torch.randn(1, CLASSES * 9, 8, 8, requires_grad=True)
    votes = network._vote(maps, rois).square().sum()
    votes.backward()
    direction = torch.randn_like(maps)
    with torch.no_grad():
        ahead, behind = (network._vote(maps + step * direction, rois).square().sum() for step in (1e-2, -1e-2))
    assert (maps.grad * direction).sum().item() == pytest.approx((ahead - behind).item() / 2e-2, rel=1e-3)


def test_losses_of_a_sample_are_those_of_the_paper() -> None:
    network = head()
    sample = RegionSample(
        rois=torch.tensor([[0.0, 10, 10, 50, 50], [0.0, 60, 60, 90, 100]]),
        classes=torch.tensor([3, 0]),
        boxes=torch.tensor([[14.0, 10, 54, 50], [0.0, 0, 0, 0]]),
        objects=torch.tensor([0, 0]),
    )
    logits = torch.tensor([[0.0, 1, 0, 2, 0], [1.0, 0, 0, 0, 0]])
    deltas = torch.tensor([[0.5, 0.0, 0.05, 0.0], [9.0, 9.0, 9.0, 9.0]])[:, None].expand(-1, CLASSES, -1)
    classify, box = network.losses(logits, deltas, sample)
    first = -2 + math.log(math.exp(2) + math.exp(1) + 3)
    second = -1 + math.log(math.exp(1) + 4)
    assert classify.item() == pytest.approx((first + second) / 2)
    # The object lies 4 of 40 pixels to the right: dx = 10 * 0.1 = 1; the second region is background.
    expected = (abs(0.5 - 1) - BETA / 2) + 0.05**2 / (2 * BETA)
    assert box.item() == pytest.approx(expected / 2, rel=1e-5)


def test_the_losses_are_those_of_the_sampled_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = RFCN(CLASSES, backbone="tiny", bins=3, features=32, anchor_scales=[24.0, 48.0], min_size=96, max_size=128)
    images, targets = scene([2, 0], [(96, 96), (96, 128)])
    chosen: list[RegionSample] = []
    sampling = network.roi_heads.sample
    monkeypatch.setattr(network.roi_heads, "sample", lambda *args: chosen.append(sampling(*args)) or chosen[-1])
    losses = network.losses(images, targets)
    (sample,) = chosen
    assert sample.classes.max() > 0
    assert (sample.rois[:, 0] == 1).any()
    features = network.backbone(network.batch(images).pixels)["0"]
    logits, _ = network.roi_heads(features, sample.rois)
    expected = functional.cross_entropy(logits, sample.classes)
    torch.testing.assert_close(losses["roi_class"], expected)


def test_resnets_are_dilated_and_propose_from_conv4() -> None:
    network = RFCN(CLASSES, backbone="resnet50", bins=3, features=32, norm="train").eval()
    peer = resnet50(replace_stride_with_dilation=[False, False, True]).eval()
    peer.load_state_dict(network.backbone.state_dict(), strict=False)
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = list(network.backbone(pixels).values())
        expected = IntermediateLayerGetter(peer, {"layer3": "conv4", "layer4": "conv5"})(pixels)
    assert [tuple(level.shape) for level in maps] == [(1, 1024, 4, 6), (1, 2048, 4, 6)]
    for level, wanted in zip(maps, expected.values(), strict=True):
        torch.testing.assert_close(level, wanted)
    assert network.rpn.head.cls_logits.in_channels == 1024
    assert network.roi_heads.reduce[0].in_channels == 2048
    assert network.roi_heads.class_maps.out_channels == 9 * CLASSES
    assert network.roi_heads.box_maps.out_channels == 9 * 4


@pytest.mark.parametrize("options", [{"anchor_scales": []}, {"anchor_ratios": []}, {"bins": 0}])
def test_empty_anchors_and_bins_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="at least one of each"):
        RFCN(CLASSES, backbone="tiny", **options)
