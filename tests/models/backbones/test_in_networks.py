"""Backbones in every network: one training step, or one clear refusal."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models import (
    FCN,
    FCOS,
    RCNN,
    RFCN,
    SSD,
    YOLO,
    FasterRCNN,
    FastRCNN,
    LocalizationNet,
    MaskRCNN,
    Network,
    PoseNet,
    RetinaNet,
    SlidingWindowDetector,
)
from lit_cv.ops.mask_runs import encode_masks
from tests.helpers.scenes import CLASSES, scene

SIZE = (64, 96)
SMALL: dict[str, Any] = {"min_size": 64, "max_size": 96}
REGIONS: dict[str, Any] = {**SMALL, "roi_batch": 16}
FEW: dict[str, Any] = {"rpn_post_nms_train": 50, "rpn_post_nms_test": 10, "detections_per_image": 4}
NETWORKS: dict[str, Callable[[str], Network]] = {
    "FCN": lambda name: FCN(CLASSES, backbone=name, skips=8),
    "FCN, symmetric": lambda name: FCN(
        CLASSES, backbone=name, decoder="symmetric", decoder_width=8, upsampling="max_unpool"
    ),
    "Faster R-CNN, C4": lambda name: FasterRCNN(CLASSES, backbone=name, neck="c4", head_features=8, **REGIONS),
    "Faster R-CNN, FPN": lambda name: FasterRCNN(CLASSES, backbone=name, head_features=8, **REGIONS),
    "Faster R-CNN, end": lambda name: FasterRCNN(CLASSES, backbone=name, neck="c4", head="backbone", **REGIONS),
    "SSD": lambda name: SSD(CLASSES, backbone=name, size=100),
    "RetinaNet": lambda name: RetinaNet(CLASSES, backbone=name, channels=16, **SMALL),
    "Mask R-CNN": lambda name: MaskRCNN(CLASSES, backbone=name, head_features=8, **REGIONS, **FEW),
    "LocalizationNet": lambda name: LocalizationNet(CLASSES - 1, backbone=name, size=64, pool=2, head_features=[8]),
    "PoseNet": lambda name: PoseNet(4, backbone=name, size=64, pool=2, head_features=8),
    "FCOS": lambda name: FCOS(CLASSES, backbone=name, channels=64, **SMALL),
    "YOLO": lambda name: YOLO(CLASSES, backbone=name, size=64, grid=2, neck_channels=[8], hidden=8),
    "Fast R-CNN": lambda name: FastRCNN(CLASSES, backbone=name, head_features=8, **REGIONS),
    "R-FCN": lambda name: RFCN(CLASSES, backbone=name, features=8, bins=2, **REGIONS),
    "R-CNN": lambda name: RCNN(CLASSES, backbone=name, size=67, padding=4, windows=4),
    "sliding windows": lambda name: SlidingWindowDetector(
        CLASSES, backbone=name, size=48, windows_per_image=4, **SMALL
    ),
}
TIMM = (
    *("resnet18", "convnext_tiny", "mobilenetv3_large_100", "efficientnet_b0", "tf_efficientnet_lite0"),
    *("swin_tiny_patch4_window7_224", "regnety_002"),
)
ASKED = (
    *("FCN", "Faster R-CNN, C4", "Faster R-CNN, FPN", "SSD", "RetinaNet", "Mask R-CNN", "LocalizationNet", "PoseNet"),
    *("Faster R-CNN, end", "FCN, symmetric"),
)
TORCHVISION = (
    *("convnext_tiny", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "regnet_y_400mf", "regnet_x_400mf"),
    *("densenet121", "inception_v3", "swin_t"),
)
ORDINARY = {  # each backbone at least once, each network at least once
    ("timm/resnet18", "FCN"),
    ("timm/resnet18", "Mask R-CNN"),
    ("timm/resnet18", "Faster R-CNN, end"),
    ("timm/resnet18", "R-FCN"),
    ("timm/convnext_tiny", "Faster R-CNN, FPN"),
    ("timm/convnext_tiny", "SSD"),
    ("timm/mobilenetv3_large_100", "Faster R-CNN, FPN"),
    ("timm/mobilenetv3_large_100", "PoseNet"),
    ("timm/mobilenetv3_large_100", "YOLO"),
    ("timm/efficientnet_b0", "Faster R-CNN, C4"),
    ("timm/efficientnet_b0", "SSD"),
    ("timm/efficientnet_b0", "FCN, symmetric"),
    ("timm/tf_efficientnet_lite0", "RetinaNet"),
    ("timm/tf_efficientnet_lite0", "LocalizationNet"),
    ("timm/tf_efficientnet_lite0", "Fast R-CNN"),
    ("timm/tf_efficientnet_lite0", "R-CNN"),
    ("timm/tf_efficientnet_lite0", "sliding windows"),
    ("timm/swin_tiny_patch4_window7_224", "SSD"),
    ("timm/swin_tiny_patch4_window7_224", "FCN"),
    ("timm/regnety_002", "Mask R-CNN"),
    ("timm/regnety_002", "FCOS"),
    ("convnext_tiny", "SSD"),
    ("efficientnet_b0", "Faster R-CNN, FPN"),
    ("regnet_y_400mf", "Mask R-CNN"),
    ("regnet_x_400mf", "FCN"),
    ("densenet121", "RetinaNet"),
    ("inception_v3", "SSD"),
    ("swin_t", "Faster R-CNN, C4"),
}
REFUSED = {"Faster R-CNN, end": "head: backbone takes a VGG without batch norm or a ResNet, not '{}': use mlp."}


def cases() -> Iterator[Any]:
    every = {(f"timm/{name}", network) for name in TIMM for network in ASKED}
    every |= {(name, network) for name in TORCHVISION for network in ASKED}
    for case in sorted(every | ORDINARY):
        yield pytest.param(*case, marks=[] if case in ORDINARY else pytest.mark.long)


def targets() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return two images with the targets of every task."""
    images, found = scene([1, 1], [SIZE, SIZE])
    generator = torch.Generator().manual_seed(0)
    for target in found:
        rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
        left, top, right, bottom = target["boxes"][0]
        inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
        target["mask"] = (inside * target["labels"]).to(torch.uint8)
        runs = encode_masks(inside[None])
        target["mask_runs"], target["mask_lengths"] = runs.runs, runs.lengths
        target["mask_size"] = torch.tensor(SIZE)
        places = torch.rand(1, 4, 2, generator=generator) * torch.tensor([SIZE[1], SIZE[0]])
        target["keypoints"] = torch.cat((places, torch.full((1, 4, 1), 2.0)), dim=2)
    return images, found


@pytest.mark.parametrize(("name", "network"), list(cases()))
def test_one_training_step_or_one_clear_refusal(name: str, network: str) -> None:
    torch.manual_seed(0)
    if network in REFUSED:
        with pytest.raises(UserError) as refused:
            NETWORKS[network](name)
        assert str(refused.value) == REFUSED[network].format(name)
        return
    model = NETWORKS[network](name)
    losses = model.losses(*targets())
    total = sum(losses.values())
    assert total.isfinite(), losses
    total.backward()
    without = [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert not without, without[:5]
    # SSD's extra maps may have no anchor to learn from.
    body = model.backbone.body if network == "SSD" else model.backbone
    reached = [value.grad.abs().max() > 0 for value in body.parameters() if value.requires_grad]
    assert sum(reached) >= 0.9 * len(reached)
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)
    before = [value.detach().clone() for value in model.parameters() if value.requires_grad]
    torch.optim.SGD(model.parameters(), lr=1e-2).step()
    after = [value for value in model.parameters() if value.requires_grad]
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
