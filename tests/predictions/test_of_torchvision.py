"""torchvision's networks, saved by torchvision and imported by an experiment alone: `litcv validate` finds the same.

`long` has the networks on large backbones.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import detection as peers
from torchvision.models.segmentation import fcn_resnet50

from datamodules.loading.decode import read_image
from lit_cv.cli import main
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD
from lit_cv.ops.mask_runs import decode_masks
from lit_cv.ops.objects import masks_of
from lit_cv.predictions.files import Predictions
from tests.helpers.scenes import as_peer_images, randomize

NONE = {"weights": None, "weights_backbone": None}
SIZES = {"min_size": 128, "max_size": 200}
TOP = [f"rpn_{when}_nms_{{}}test" for when in ("pre", "post")]
THEIR_COUNTS, OUR_COUNTS = ({name.format(word): 60 for name in TOP} for word in ("top_n_", ""))
PEOPLE = {"num_classes": 2, "num_keypoints": 17}
INSTANCES, DETECTIONS = ("InstanceTask", "COCOKeypointDataModule"), ("DetectionTask", "VOCDetectionDataModule")


class Case(NamedTuple):
    """A network of torchvision, the settings of ours, and the task and the data of both."""

    theirs: Callable[[], nn.Module]
    ours: dict[str, Any]
    kind: tuple[str, str] = DETECTIONS
    data: dict[str, Any] = {}


def built(build: Callable[..., nn.Module], **options: Any) -> Callable[[], nn.Module]:
    return lambda: build(**NONE, **options)


def rcnn(name: str, **options: Any) -> dict[str, Any]:
    return {"class_path": f"lit_cv.models.{name}", "init_args": {**SIZES, **OUR_COUNTS, **options}}


CASES = {
    "faster_rcnn_mobilenet": Case(
        built(peers.fasterrcnn_mobilenet_v3_large_fpn, num_classes=4, **SIZES, **THEIR_COUNTS),
        rcnn(
            "FasterRCNN",
            backbone="mobilenet_v3_large",
            anchor_scales=[[32, 64, 128, 256, 512]] * 3,
            rpn_score_threshold=0.05,
        ),
    ),
    "fcn_resnet50": Case(
        built(fcn_resnet50, num_classes=4, aux_loss=False),
        {
            "class_path": "lit_cv.models.FCN",
            "init_args": {
                "backbone": "resnet50", "output_stride": 8, "head": "conv", "upsampling": "bilinear", "norm": "train",
            },
        },
        ("SegmentationTask", "VOCSegmentationDataModule"),
    ),
    "faster_rcnn": Case(
        built(peers.fasterrcnn_resnet50_fpn, num_classes=4, **SIZES, **THEIR_COUNTS),
        rcnn("FasterRCNN", backbone="resnet50"),
    ),
    "mask_rcnn": Case(
        built(peers.maskrcnn_resnet50_fpn, num_classes=2, **SIZES, **THEIR_COUNTS),
        rcnn("MaskRCNN", heads=["mask"], readout="torchvision"),
        INSTANCES,
        {"masks": True},
    ),
    "keypoint_rcnn": Case(
        built(peers.keypointrcnn_resnet50_fpn, **PEOPLE, **SIZES, **THEIR_COUNTS),
        rcnn("MaskRCNN", heads=["keypoint"], readout="torchvision"),
        INSTANCES,
    ),
    "retinanet": Case(
        built(peers.retinanet_resnet50_fpn, num_classes=4, **SIZES),
        {"class_path": "lit_cv.models.RetinaNet", "init_args": {**SIZES, "norm": "train"}},
    ),
    "fcos": Case(
        built(peers.fcos_resnet50_fpn, num_classes=4, **SIZES),
        {"class_path": "lit_cv.models.FCOS", "init_args": {**SIZES, "norm": "train"}},
    ),
    "ssd": Case(built(peers.ssd300_vgg16, num_classes=4), {"class_path": "lit_cv.models.SSD", "init_args": {}}),
}  # fmt: skip
SMALL = ("faster_rcnn_mobilenet", "fcn_resnet50")


def randomized(name: str) -> nn.Module:
    """Return torchvision's network with random weights that find objects of all scores."""
    network = CASES[name].theirs()
    randomize(network)
    heads = {parameter: value for parameter, value in network.named_parameters() if "head" in parameter}
    if "rcnn" in name:
        regressors = [value for key, value in heads.items() if key.endswith("bbox_pred.weight")]
        for weight in (*regressors, network.rpn.head.bbox_pred.weight):
            weight.data.mul_(0.2)
    elif name == "retinanet":
        for key in ("classification_head.cls_logits", "regression_head.bbox_reg"):
            network.head.get_submodule(key).weight.data.mul_(0.2)
        network.head.classification_head.cls_logits.bias.data.view(-1, 4)[:, 0] = -20  # theirs detects the background
    elif name == "fcos":
        network.head.classification_head.cls_logits.bias.data[0] = -30
        network.head.regression_head.bbox_reg.bias.data.add_(1.5)  # otherwise boxes would have no area
    elif name == "ssd":
        network.backbone.features[0].weight.data.div_(60)  # its pixels have values of up to 255
        for head in (network.head.regression_head, network.head.classification_head):
            for convolution in head.module_list:
                convolution.weight.data.mul_(0.1)
    return network.eval()


def validated(case: Case, weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Predictions, str]:
    """Return the predictions that `litcv validate` writes, and its output."""
    task, data = case.kind
    source = {"source": "shapes", "shapes": {"train": 2, "val": 2, "size": 96}, "batch_size": 2, "num_workers": 0}
    model = {"network": case.ours, "initial_weights": str(weights)}
    keep = {"class_path": "lit_cv.training.scoring.kept.KeptPredictions", "init_args": {"folder": str(folder)}}
    experiment = {
        "model": {"class_path": f"lit_cv.tasks.{task}", "init_args": model},
        "data": {
            "class_path": f"datamodules.{data}",
            "init_args": {"root": str(weights.parent / "data"), **source, **case.data},
        },
        "trainer": {"accelerator": "cpu", "callbacks": [keep], "default_root_dir": str(folder)},
    }
    file = weights.with_name("experiment.yaml")
    file.write_text(yaml.safe_dump(experiment))
    assert main(["validate", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "initial weights: 100.0% of the network" in said
    return Predictions.open(folder / "val"), said


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in SMALL else pytest.mark.long) for name in CASES]
)
def test_validate_finds_what_torchvision_finds(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = randomized(name)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    found, said = validated(CASES[name], tmp_path / "weights.pth", tmp_path / "kept", capsys)
    images = [torch.from_numpy(read_image(tmp_path / "data" / file)).permute(2, 0, 1) for file in found.names]
    assert images  # keypoints: those with people
    with torch.no_grad():
        if "fcn" in name:
            assert_masks(theirs, images, found, said)
            return
        expected = theirs(as_peer_images(images))
    for ours, wanted in zip(found, expected, strict=True):
        assert len(wanted["boxes"]) > 10
        assert_objects(ours, wanted)


def assert_objects(found: dict[str, Any], wanted: dict[str, Tensor]) -> None:
    assert torch.equal(found["labels"], wanted["labels"])
    torch.testing.assert_close(found["scores"], wanted["scores"], rtol=0, atol=1e-4)
    torch.testing.assert_close(found["boxes"], wanted["boxes"], rtol=0, atol=1e-3)
    if "keypoints" in wanted:
        torch.testing.assert_close(found["keypoints"][..., :2], wanted["keypoints"][..., :2], rtol=0, atol=1e-3)
        torch.testing.assert_close(found["keypoints"][..., 2], wanted["keypoints_scores"], rtol=1e-4, atol=1e-4)
    if "masks" in wanted:
        unsure = (wanted["masks"][:, 0] - 0.5).abs() < 1e-4
        masks = decode_masks(masks_of(found)).bool()
        assert torch.equal(masks | unsure, (wanted["masks"][:, 0] >= 0.5) | unsure)


def assert_masks(theirs: nn.Module, images: list[Tensor], found: Predictions, said: str) -> None:
    """Compare the masks, and the printed loss, which depends on all logits."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    logits = theirs((torch.stack(images) / 255 - mean) / std)["out"]
    for ours, wanted in zip(found, logits, strict=True):
        first, second = wanted.topk(2, dim=0).values
        assert torch.equal(ours["mask"][first - second > 1e-3], wanted.argmax(0)[first - second > 1e-3].to(torch.uint8))
    voc = found.folder.parents[1] / "data" / "VOCdevkit" / "VOC2012"
    files = [voc / "SegmentationClass" / f"{Path(name).stem}.png" for name in found.names]
    masks = torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in files]).long()
    (printed,) = re.findall(r"val/loss\W+([\d.]+)", said)
    assert float(printed) == pytest.approx(float(F.cross_entropy(logits, masks, ignore_index=255)), abs=1e-4)
