"""Test-time augmentation: views of an image, and their merged predictions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models import FCN, SSD, DenseCap, FasterRCNN, FastRCNN, LocalizationNet, MaskRCNN, PoseNet
from lit_cv.models.detection.detector import Keep
from lit_cv.models.network import Network
from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks
from lit_cv.tasks import TTA, CaptioningTask, DetectionTask, InstanceTask, PoseTask
from lit_cv.tasks.tta.merging import _detections, predict_views
from lit_cv.tasks.tta.settings import View, fitting_tta
from lit_cv.tasks.tta.views import mirror_boxes, mirror_joints
from tests.helpers.scenes import CLASSES, scene

SMALL: dict[str, Any] = {"backbone": "tiny", "score_threshold": 0.01, "head_features": 16, "detections_per_image": 9}
FITTED: dict[str, Any] = {"min_size": 64, "max_size": 96, "rpn_post_nms_test": 20}
NETWORKS: dict[str, Callable[[], Network]] = {
    "faster_rcnn": lambda: FasterRCNN(CLASSES, **SMALL, **FITTED),
    "fast_rcnn": lambda: FastRCNN(CLASSES, **SMALL, min_size=64, max_size=96),
    "mask_rcnn": lambda: MaskRCNN(
        CLASSES, **SMALL | {"detections_per_image": 2}, **FITTED, heads=("mask", "keypoint"), num_keypoints=3
    ),
    "ssd": lambda: SSD(CLASSES, backbone="tiny", size=100, score_threshold=0.01, detections_per_image=9),
    "fcn": lambda: FCN(CLASSES, backbone="tiny"),
    "pose": lambda: PoseNet(3, backbone="tiny", size=64, pool=2, head_features=8),
    "localization": lambda: LocalizationNet(CLASSES, backbone="tiny", size=64, pool=2, head_features=[8]),
}
PAIRS = [(1, 2)]


def views_of(name: str) -> TTA:
    return TTA(scales=[1.0, 0.75, 1.5] if name in ("faster_rcnn", "fast_rcnn", "fcn") else [1.0])


@pytest.fixture(scope="module")
def images() -> list[Tensor]:
    return scene([2, 1], [(60, 90), (72, 50)])[0]


def dense(found: dict[str, Any]) -> dict[str, Tensor]:
    """Return a prediction with its masks as pixels."""
    others = {key: value for key, value in found.items() if not key.startswith("mask_")}
    if "mask_runs" not in found:
        return others
    height, width = found["mask_size"].tolist()
    return others | {"masks": decode_masks(MaskRuns(found["mask_runs"], found["mask_lengths"], (height, width)))}


@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_and_its_mirror_image_have_mirrored_predictions(name: str, images: list[Tensor]) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    proposals, mirrored = None, None
    if name == "fast_rcnn":
        proposals = [torch.tensor([[3.0, 4, 40, 30], [20, 5, 49, 58], [1, 1, 30, 50]])] * 2
        mirrored = [mirror_boxes(boxes, image.shape[-1]) for boxes, image in zip(proposals, images, strict=True)]
    tta = fitting_tta(network, views_of(name))
    here = predict_views(network, tta, images, proposals, PAIRS)
    there = predict_views(network, tta, [image.flip(-1) for image in images], mirrored, PAIRS)
    for image, found, other in zip(images, map(dense, here), map(dense, there), strict=True):
        assert found.keys() == other.keys()
        width = image.shape[-1]
        if "boxes" in found:
            assert len(found["boxes"]) > 1
            other["boxes"] = mirror_boxes(other["boxes"], width)
        if "keypoints" in found:
            other["keypoints"] = mirror_joints(other["keypoints"], width - (name == "pose"), PAIRS)
        other |= {key: other[key].flip(-1) for key in ("mask", "masks") if key in other}
        for key, value in found.items():
            torch.testing.assert_close(value, other[key], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_image_alone_as_the_only_view_changes_nothing(name: str, images: list[Tensor]) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    proposals = [torch.tensor([[3.0, 4, 40, 30], [20, 5, 49, 58]])] * 2 if name == "fast_rcnn" else None
    plain = predict_views(network, None, images, proposals)
    single = predict_views(network, TTA(flip=False), images, proposals)
    merged = predict_views(network, views_of(name), images, proposals, PAIRS)
    for found, wanted, other in zip(single, plain, merged, strict=True):
        assert found.keys() == wanted.keys() == other.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
        assert any(not torch.equal(other[key], wanted[key]) for key in wanted)
    assert getattr(network, "eval_scale", 1.0) == 1.0


def test_detections_are_merged_by_hand() -> None:
    """An image of 10 x 4 pixels: the mirrored view finds the first object better, and one more."""
    masks = torch.zeros(2, 4, 10, dtype=torch.uint8)
    masks[0, :2, :4], masks[1, 2:, 6:] = 1, 1
    runs = encode_masks(masks)
    kinds = {"mask_runs": runs.runs, "mask_lengths": runs.lengths, "mask_size": torch.tensor([4, 10])}
    plain = {
        "boxes": [[0.0, 0, 4, 2], [6, 2, 10, 4]],
        "scores": [0.6, 0.5],
        "labels": [1, 2],
        "joints": [[1, 1], [8, 3]],
    }
    mirrored = {
        "boxes": [[6.0, 0, 10, 2], [6, 2, 10, 4]],
        "scores": [0.9, 0.4],
        "labels": [1, 2],
        "joints": [[7, 1], [9, 3]],
    }
    flipped = encode_masks(torch.stack([masks[0].flip(-1), masks[1]]))
    views = []
    for found, own in ((plain, runs), (mirrored, flipped)):
        joints = [[[x, y, 0.5], [x - 1, y, 0.5]] for x, y in found.pop("joints")]  # type: ignore[misc]
        one = {key: torch.tensor(value) for key, value in found.items()} | kinds
        views.append(one | {"mask_runs": own.runs, "mask_lengths": own.lengths, "keypoints": torch.tensor(joints)})
    keep = Keep(score_threshold=0.0, nms_threshold=0.5, detections_per_image=3)
    merged = _detections(views, [View(1.0, False), View(1.0, True)], 10, keep, [(0, 1)])
    assert merged["boxes"].tolist() == [[0, 0, 4, 2], [6, 2, 10, 4], [0, 2, 4, 4]]
    assert merged["scores"].tolist() == pytest.approx([0.9, 0.5, 0.4])
    assert merged["labels"].tolist() == [1, 2, 2]
    # The mirrored view's joints at 7 and 6 are at 3 and 4, and right and left change places.
    assert merged["keypoints"][..., 0].tolist() == [[4, 3], [8, 7], [2, 1]]
    expected = torch.stack([masks[0], masks[1], masks[1].flip(-1)])
    assert torch.equal(dense(merged)["masks"], expected)


def test_probabilities_are_averaged_not_scores() -> None:
    class Fixed(FCN):
        def forward(self, pixels: Tensor) -> Tensor:
            logits = torch.zeros(len(pixels), 2, *pixels.shape[-2:])
            logits[:, 1] = -9.0  # of the right half, as a view shows it
            logits[:, 1, :, : pixels.shape[-1] // 2] = 1.0
            return logits

    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    (found,) = predict_views(Fixed(2, backbone="tiny"), TTA(), [image])
    # The mean of the shares of class 1 is (0.731 + 0.0001) / 2 everywhere; the mean of its scores would be -4.
    assert found["mask"].unique().tolist() == [0]
    (plain,) = predict_views(Fixed(2, backbone="tiny"), None, [image])
    assert plain["mask"][:, :16].unique().tolist() == [1]


def test_networks_that_do_not_fit_are_refused() -> None:
    captions = DenseCap(12, backbone="tiny", embedding=8, hidden=8, **FITTED)
    with pytest.raises(UserError, match="DenseCap's phrases say left and right"):
        CaptioningTask(captions, tta=TTA())
    with pytest.raises(UserError, match=r"model.tta.scales: SSD takes images of one size only; leave scales out"):
        DetectionTask(NETWORKS["ssd"](), tta=TTA(scales=[1.0, 2.0]))  # type: ignore[arg-type]
    for scales, words in (([], "empty list"), ([0.0], "makes no sense; give a number above 0")):
        with pytest.raises(UserError, match=words):
            DetectionTask(NETWORKS["faster_rcnn"](), tta=TTA(scales=scales))  # type: ignore[arg-type]
    task = InstanceTask(NETWORKS["mask_rcnn"](), tta=TTA())  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"does not say which joints are left and right; set tta.flip to false"):
        task.predict([torch.zeros(3, 40, 40, dtype=torch.uint8)])
    assert PoseTask(NETWORKS["pose"](), tta=TTA()).tta == TTA()  # type: ignore[arg-type]
