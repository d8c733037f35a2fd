"""onnxruntime and ``torch.export`` find in an image the same as the network itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.exporting.onnx_file import write_onnx
from lit_cv.exporting.program import exported_program
from lit_cv.exporting.torch_file import write_program
from lit_cv.models import (
    FCN,
    FCOS,
    RFCN,
    SSD,
    YOLO,
    ComponentFCN,
    DownUpFCN,
    FasterRCNN,
    FullResolutionFCN,
    LocalizationNet,
    MaskRCNN,
    Network,
    PoseNet,
    RetinaNet,
)
from lit_cv.models.resizing import FittedImages
from tests.exporting.same_predictions import assert_same
from tests.helpers.scenes import CLASSES, randomize
from tests.models.test_global_batch import DETECTORS, OTHERS

SIZES = [(110, 160), (201, 77), (90, 90)]  # none was traced; TINY leaves the last one as it is
TINY = {"backbone": "tiny", "min_size": 90, "max_size": 150}
MANY = {**TINY, "score_threshold": 0.0}
BUILDERS: dict[str, Callable[[], Network]] = {
    "fcn": lambda: FCN(CLASSES, backbone="tiny"),
    "localization": lambda: LocalizationNet(CLASSES, backbone="tiny", size=64, pool=2, head_features=[16]),
    "ssd": lambda: SSD(CLASSES, backbone="tiny", size=96, anchor_ratios=[[2.0]] * 3, score_threshold=0.0),
    "faster_rcnn": lambda: FasterRCNN(CLASSES, neck="c4", head_features=32, rpn_post_nms_test=60, **MANY),
    "faster_rcnn_fpn": lambda: FasterRCNN(
        CLASSES, roi_op="align_half_pixel", head_features=32, rpn_post_nms_test=60, **MANY
    ),
    "mask_rcnn": lambda: MaskRCNN(CLASSES, heads=["mask", "keypoint"], num_keypoints=3, head_features=32, **MANY),
    "retinanet": lambda: RetinaNet(CLASSES, channels=32, **MANY),
    "fcos": lambda: FCOS(CLASSES, channels=64, **MANY),
    "yolo": lambda: YOLO(CLASSES, backbone="tiny", size=96, grid=3, neck_channels=[16, 16], hidden=32),
    "fcn_skips": lambda: FCN(CLASSES, backbone="tiny", skips=8, head="conv", upsampling="bilinear", min_size=90),
    "fcn_symmetric": lambda: FCN(CLASSES, backbone="tiny", decoder="symmetric", upsampling="max_unpool"),
    "fcn_overlap": lambda: FCN(CLASSES, backbone="tiny", decoder="symmetric", upsampling_overlap="mean"),
    "full_resolution": lambda: FullResolutionFCN(CLASSES, widths=[16, 16], dilations=[1, 2]),
    "down_up": lambda: DownUpFCN(CLASSES, widths=[16, 16, 16], strides=[1, 4, 2]),
    "pose": lambda: PoseNet(3, backbone="tiny", size=64, pool=2, head_features=16),
}
IN_CI = ("fcn", "ssd", "faster_rcnn")  # and LocalizationNet in test_command.py
FEW = {"localization": CLASSES, "yolo": 5}  # smallest number of objects to compare


def build(name: str) -> Network:
    torch.manual_seed(0)
    network = BUILDERS[name]()
    randomize(network)
    return network.eval()


def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in SIZES]


def session_of(file: Path) -> Callable[[Tensor], dict[str, Any]]:
    """Return a function that runs an ONNX file on an image."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {"image": image.numpy()}), strict=True))


@pytest.mark.parametrize(
    "name", [name if name in IN_CI else pytest.param(name, marks=pytest.mark.long) for name in BUILDERS]
)
def test_files_find_the_same_in_images_of_any_size(name: str, tmp_path: Path) -> None:
    network = build(name)
    write_onnx(exported_program(network), {"network": name}, tmp_path / "network.onnx")
    runs = [session_of(tmp_path / "network.onnx")]
    if name not in IN_CI:  # it takes as long again
        write_program(exported_program(network), {"network": name}, tmp_path / "network.pt2")
        runs.append(torch.export.load(tmp_path / "network.pt2").module())
    for image in pictures():
        (expected,) = network.predict([image])
        assert "boxes" not in expected or len(expected["boxes"]) >= FEW.get(name, 20)
        for run in runs:
            assert_same(run(image), expected)


@pytest.mark.long
def test_an_image_without_objects(tmp_path: Path) -> None:
    network = build("mask_rcnn")
    network.roi_heads.keep = network.roi_heads.keep._replace(score_threshold=1.0)
    write_onnx(exported_program(network), {"network": "mask_rcnn"}, tmp_path / "network.onnx")
    for image in pictures():
        found = session_of(tmp_path / "network.onnx")(image)
        assert {name: len(column) for name, column in found.items()} == dict.fromkeys(found, 0)
        assert_same(found, network.predict([image])[0])


class OwnPixels(FCN):
    """A network that prepares its images in a way of its own."""

    def batch(self, images: list[Tensor]) -> Any:
        return FittedImages.batch(self, [255 - image for image in images])


class Deciding(FCN):
    """A network whose computation depends on its pixels."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels if pixels.mean() > 0 else -pixels)


REFUSED = {
    "rcnn": (DETECTORS["rcnn"], "RCNN cannot be exported: it classifies regions that Selective Search finds"),
    "fast_rcnn": (DETECTORS["fast_rcnn"], "FastRCNN cannot be exported: it classifies regions that Selective Search"),
    "densecap": (DETECTORS["densecap"], "DenseCap cannot be exported: it writes phrases"),
    "sliding_window": (DETECTORS["sliding_window"], "SlidingWindowDetector cannot be exported: it cuts the image"),
    "windows": (OTHERS["sliding_window_segmenter"], "SlidingWindowSegmenter cannot be exported: it cuts the image"),
    "components": (lambda: ComponentFCN(CLASSES, backbone="tiny"), "ComponentFCN cannot be exported: it looks for"),
    "readout": (lambda: MaskRCNN(CLASSES, readout="torchvision", **TINY), "MaskRCNN cannot be exported with readout: "),
    "own pixels": (lambda: OwnPixels(CLASSES, backbone="tiny"), "OwnPixels cannot be exported: it prepares its images"),
    "decision": (lambda: Deciding(CLASSES, backbone="tiny"), "Deciding cannot be exported: torch.export refuses it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_network_that_cannot_be_exported_says_so(kind: str) -> None:
    build, sentence = REFUSED[kind]
    with pytest.raises(UserError) as failure:
        exported_program(build())
    assert str(failure.value).startswith(sentence)
    assert "\n" not in str(failure.value)


@pytest.mark.long
def test_rfcn_has_a_torch_file_but_onnx_lacks_its_pooling(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RFCN(CLASSES, features=32, bins=3, anchor_scales=[24.0, 48.0], rpn_post_nms_test=60, **MANY).eval()
    randomize(network)
    with pytest.raises(UserError, match=r"RFCN cannot be exported to ONNX: .*ps_roi_pool"):
        write_onnx(exported_program(network), {"network": "RFCN"}, tmp_path / "network.onnx")
    write_program(exported_program(network), {"network": "RFCN"}, tmp_path / "network.pt2")
    run = torch.export.load(tmp_path / "network.pt2").module()
    for image in pictures():
        assert_same(run(image), network.predict([image])[0])
