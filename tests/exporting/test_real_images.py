"""Exported networks on photographs: ImageNet weights in the backbone, random weights in the heads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datamodules.loading.decode import read_image
from lit_cv.exporting.onnx_file import write_onnx
from lit_cv.exporting.program import exported_program
from lit_cv.models import FCN, FCOS, SSD, YOLO, FasterRCNN, LocalizationNet, MaskRCNN, Network, PoseNet, RetinaNet
from tests.exporting.same_predictions import assert_same, differences
from tests.exporting.test_networks import session_of
from tests.helpers.scenes import randomize

IMAGES = 20
CLASSES = 21
FITTED = {"min_size": 320, "max_size": 533}
BUILDERS: dict[str, Callable[..., Network]] = {
    "fcn": lambda **options: FCN(CLASSES, **options),
    "faster_rcnn_c4": lambda **options: FasterRCNN(CLASSES, neck="c4", **FITTED, **options),
    "faster_rcnn_fpn": lambda **options: FasterRCNN(CLASSES, neck="fpn", head_features=256, **FITTED, **options),
    "ssd": lambda **options: SSD(CLASSES, size=300, **options),
    "retinanet": lambda **options: RetinaNet(CLASSES, channels=64, **FITTED, **options),
    "fcos": lambda **options: FCOS(CLASSES, channels=64, **FITTED, **options),
    "yolo": lambda **options: YOLO(CLASSES, size=320, grid=10, neck_channels=[64, 64], hidden=256, **options),
    "mask_rcnn": lambda **options: MaskRCNN(
        CLASSES, heads=["mask", "keypoint"], neck="c4", head_features=256, **FITTED, **options
    ),
    "pose": lambda **options: PoseNet(16, **options),
    "localization": lambda **options: LocalizationNet(20, head="mlp", **options),
}
BACKBONES = dict.fromkeys(BUILDERS, ("squeezenet1_0", "squeezenet1_0_imagenet.pth"))
BACKBONES["faster_rcnn_fpn"] = ("timm/tf_efficientnet_lite0", "tf_efficientnet_lite0_imagenet.pth")


def build(name: str, weights: Path, image: Tensor) -> Network:
    """Return a network whose random heads give scores of all sizes on photographs.

    Each layer of the heads is scaled so that its outputs on one image have a deviation of 1 (Mishkin & Matas 2016), and
    the logarithms of boxes' sides one of 0.2.
    """
    torch.manual_seed(0)
    backbone, file = BACKBONES[name]
    network = BUILDERS[name](backbone=backbone, weights=str(weights / file)).eval()
    scaled = set()

    def scale(layer: nn.Module, _: Any, output: Tensor) -> Tensor | None:
        if layer in scaled or output.numel() < 2:
            return None
        scaled.add(layer)
        deviation = output.std() * (5 if layer in of_boxes else 1)
        layer.weight.data /= deviation
        layer.bias.data /= deviation
        return output / deviation

    of_boxes = {layer for name, layer in network.named_modules() if "bbox" in name}
    hooks = []
    for part, module in network.named_children():
        if part != "backbone":
            randomize(module)
            layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
            hooks += [layer.register_forward_hook(scale) for layer in layers if layer.bias is not None]
    network.predict([image])
    for hook in hooks:
        hook.remove()
    return network


@pytest.mark.long
@pytest.mark.parametrize("name", BUILDERS)
def test_onnxruntime_finds_the_same_in_photographs(name: str, real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "VOCdevkit").glob("VOC*/JPEGImages/*.jpg"))[:IMAGES]
    images = [torch.from_numpy(read_image(file)).permute(2, 0, 1).contiguous() for file in files]
    assert len(images) == IMAGES
    network = build(name, real_data / "weights", images[0])
    write_onnx(exported_program(network), {"network": name}, tmp_path / "network.onnx")
    run, largest = session_of(tmp_path / "network.onnx"), dict[str, float]()
    count = 0
    for image in images:
        (expected,), found = network.predict([image]), run(image)
        for key, value in differences(found, expected).items():
            largest[key] = max(largest.get(key, 0), value)
        assert_same(found, expected)
        count += len(expected.get("boxes", ()))
    print(f"{name}: {count} objects, largest differences {largest}")
