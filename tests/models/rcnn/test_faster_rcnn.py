"""FasterRCNN against torchvision's on the same weights, images and sampled indices."""

import pytest
import torch
from torchvision.models.detection import faster_rcnn as peer

from lit_cv.errors import UserError
from lit_cv.models import FasterRCNN
from tests.helpers.scenes import (
    CLASSES,
    as_peer_images,
    assert_detections_of_peer,
    assert_losses_of_peer,
    first_come,
    load_from_peer,
    randomize,
    scene,
)

PEER_LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg")  # in the order of ours


@pytest.fixture(scope="module", params=["resnet50", "mobilenet"])
def pair(request: pytest.FixtureRequest) -> tuple[FasterRCNN, peer.FasterRCNN]:
    """Return our network and torchvision's with one state dict, loaded strictly."""
    sizes = {"min_size": 128, "max_size": 200}
    counts = {f"rpn_{when}_nms_top_n_{mode}": 60 for when in ("pre", "post") for mode in ("train", "test")}
    frozen = {"norm_layer": peer.misc_nn_ops.FrozenBatchNorm2d}
    if request.param == "resnet50":
        body = peer._resnet_fpn_extractor(peer.resnet50(weights=None, **frozen), 5)
        theirs = peer.FasterRCNN(body, CLASSES, **sizes, **counts)
        ours = _ours("resnet50")
    else:
        body = peer._mobilenet_extractor(peer.mobilenet_v3_large(weights=None, **frozen), True, 6)
        scales = ((32, 64, 128, 256, 512),) * 3
        anchors = peer.AnchorGenerator(scales, ((0.5, 1.0, 2.0),) * 3)
        theirs = peer.FasterRCNN(body, CLASSES, rpn_anchor_generator=anchors, rpn_score_thresh=0.05, **sizes, **counts)
        ours = _ours("mobilenet_v3_large", anchor_scales=[list(row) for row in scales], rpn_score_threshold=0.05)
    randomize(theirs)
    for regressor in (theirs.roi_heads.box_predictor.bbox_pred, theirs.rpn.head.bbox_pred):
        regressor.weight.data.mul_(0.2)
    load_from_peer(ours, theirs)
    return ours, theirs


def _ours(backbone: str, **options: object) -> FasterRCNN:
    counts = {f"rpn_{when}_nms_{mode}": 60 for when in ("pre", "post") for mode in ("train", "test")}
    return FasterRCNN(CLASSES, backbone=backbone, min_size=128, max_size=200, **counts, **options)


def test_losses_and_gradients_are_torchvisions(
    pair: tuple[FasterRCNN, peer.FasterRCNN], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_come(monkeypatch)
    ours, theirs = pair
    images, targets = scene([3, 0, 6], [(96, 128), (150, 110), (128, 128)])
    expected = theirs.train()(as_peer_images(images), targets)
    losses = ours.losses(images, targets)
    assert_losses_of_peer(ours, theirs, losses, [expected[name] for name in PEER_LOSSES])


def test_predicts_torchvisions_boxes(pair: tuple[FasterRCNN, peer.FasterRCNN]) -> None:
    assert_detections_of_peer(*pair)


def test_a_narrow_pyramid_is_cheaper_and_a_single_map_refuses_it() -> None:
    narrow = FasterRCNN(3, backbone="tiny", pyramid_channels=32)
    shapes = {tuple(maps.shape[:2]) for maps in narrow.backbone(torch.zeros(1, 3, 64, 64)).values()}
    assert shapes == {(1, 32)}
    assert narrow.rpn.head.cls_logits.in_channels == 32
    with pytest.raises(UserError, match="pyramid_channels: 32 has no effect with neck: c4"):
        FasterRCNN(3, backbone="tiny", neck="c4", pyramid_channels=32)
    with pytest.raises(UserError, match="pyramid_channels"):
        FasterRCNN(3, backbone="tiny", pyramid_channels=0)
