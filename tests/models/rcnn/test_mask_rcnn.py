"""MaskRCNN against torchvision's on the same weights, images and sampled regions, and its variants."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import faster_rcnn as peer
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNN as PeerMaskRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints
from torchvision.ops import MultiScaleRoIAlign

from lit_cv.errors import UserError
from lit_cv.models import MaskRCNN
from lit_cv.models.rcnn.keypoint_head import keypoint_loss, read_keypoints
from lit_cv.models.rcnn.mask_head import mask_loss, mask_probabilities
from lit_cv.ops.mask_runs import MaskRuns, decode_masks, encode_masks
from tests.helpers.scenes import (
    CLASSES,
    as_peer_images,
    assert_losses_of_peer,
    first_come,
    load_from_peer,
    randomize,
    scene,
)

JOINTS = 5
SIZE = (128, 160)  # the networks do not resize this size; torchvision would resize the masks, too
PEER_LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask", "loss_keypoint")


def instances(objects: list[int], size: tuple[int, int] = SIZE) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return a scene whose objects have elliptic masks and joints, some of them unlabeled."""
    images, targets = scene(objects, [size] * len(objects))
    generator = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    for target in targets:
        corner, side = target["boxes"][:, :2, None, None], (target["boxes"][:, 2:] - target["boxes"][:, :2])
        place = (torch.stack((x, y)) - corner) / side[..., None, None] - 0.5
        runs = encode_masks(place.square().sum(dim=1) <= 0.25)
        target |= {"mask_runs": runs.runs, "mask_lengths": runs.lengths, "mask_size": torch.tensor(size)}
        points = target["boxes"][:, None, :2] + torch.rand(len(side), JOINTS, 2, generator=generator) * side[:, None]
        seen = torch.randint(0, 3, (len(side), JOINTS, 1), generator=generator)
        target["keypoints"] = torch.cat((points, seen), dim=2)
    return images, targets


def as_peer_targets(targets: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    return [{**target, "masks": decode_masks(MaskRuns(target["mask_runs"], target["mask_lengths"], SIZE))}
            for target in targets]  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> tuple[MaskRCNN, PeerMaskRCNN]:
    """Return our network and torchvision's, both with masks and keypoints, with one state dict, loaded strictly."""
    counts = {f"rpn_{when}_nms_top_n_{mode}": 60 for when in ("pre", "post") for mode in ("train", "test")}
    body = peer._resnet_fpn_extractor(peer.resnet50(weights=None, norm_layer=peer.misc_nn_ops.FrozenBatchNorm2d), 5)
    theirs = PeerMaskRCNN(body, CLASSES, min_size=128, max_size=200, box_detections_per_img=30, **counts)
    theirs.roi_heads.keypoint_roi_pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 14, 2)
    theirs.roi_heads.keypoint_head = KeypointRCNNHeads(256, (512,) * 8)
    theirs.roi_heads.keypoint_predictor = KeypointRCNNPredictor(512, JOINTS)
    randomize(theirs)
    for regressor in (theirs.roi_heads.box_predictor.bbox_pred, theirs.rpn.head.bbox_pred):
        regressor.weight.data.mul_(0.2)
    counts = {name.replace("top_n_", ""): count for name, count in counts.items()}
    counts |= {"min_size": 128, "max_size": 200, "detections_per_image": 30}
    ours = MaskRCNN(CLASSES, heads=["mask", "keypoint"], num_keypoints=JOINTS, **counts)
    load_from_peer(ours, theirs)
    return ours, theirs


def test_losses_and_gradients_are_torchvisions(
    pair: tuple[MaskRCNN, PeerMaskRCNN], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_come(monkeypatch)
    ours, theirs = pair
    images, targets = instances([3, 0, 6])
    # Their keypoint branch would skip the image without objects, which would change the order of the regions.
    images, targets = images[::2], targets[::2]
    for network in pair:  # a constant added to all cells of a joint's map has no effect
        network.roi_heads.keypoint_predictor.kps_score_lowres.bias.requires_grad_(False)
    expected = theirs.train()(as_peer_images(images), as_peer_targets(targets))
    losses = ours.losses(images, targets)
    assert_losses_of_peer(ours, theirs, losses, [expected[name] for name in PEER_LOSSES])


def test_predicts_torchvisions_masks_and_keypoints(pair: tuple[MaskRCNN, PeerMaskRCNN]) -> None:
    ours, theirs = pair
    images, _ = scene([0, 0], [SIZE, SIZE])
    with torch.no_grad():
        expected = theirs.eval()(as_peer_images(images))
    for found, wanted in zip(ours.predict(images), expected, strict=True):
        assert len(wanted["boxes"]) > 10
        assert torch.equal(found["labels"], wanted["labels"])
        masks = decode_masks(MaskRuns(found["mask_runs"], found["mask_lengths"], SIZE)).bool()
        theirs_masks = wanted["masks"][:, 0] >= 0.5
        both, either = (masks & theirs_masks).sum((1, 2)), (masks | theirs_masks).sum((1, 2))
        # Theirs are pasted into boxes of whole pixels, ours into the exact boxes; the masks are noise.
        assert (both[either > 200] / either[either > 200]).median() > 0.8
        sides = (wanted["boxes"][:, 2:] - wanted["boxes"][:, :2]).amin(dim=1)
        distance = (found["keypoints"][..., :2] - wanted["keypoints"][..., :2]).norm(dim=-1)
        assert (distance[sides > 20] / sides[sides > 20, None]).median() < 0.15  # noise has several high cells


def test_reads_masks_and_keypoints_out_as_torchvision(
    pair: tuple[MaskRCNN, PeerMaskRCNN], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    monkeypatch.setattr(ours, "readout", "torchvision")
    images, _ = scene([0], [(96, 150)])  # resized, unlike the images above
    with torch.no_grad():
        (wanted,) = theirs.eval()(as_peer_images(images))
    (found,) = ours.predict(images)
    assert len(wanted["boxes"]) > 10
    torch.testing.assert_close(found["boxes"], wanted["boxes"], rtol=0, atol=1e-3)
    torch.testing.assert_close(found["keypoints"][..., :2], wanted["keypoints"][..., :2], rtol=0, atol=1e-3)
    torch.testing.assert_close(found["keypoints"][..., 2], wanted["keypoints_scores"], rtol=1e-4, atol=1e-4)
    masks = decode_masks(MaskRuns(found["mask_runs"], found["mask_lengths"], (96, 150))).bool()
    unsure = (wanted["masks"][:, 0] - 0.5).abs() < 1e-4
    assert torch.equal(masks | unsure, (wanted["masks"][:, 0] >= 0.5) | unsure)


def test_joints_are_found_between_cells() -> None:
    y, x = torch.meshgrid(torch.arange(56) + 0.5, torch.arange(56) + 0.5, indexing="ij")
    where = torch.tensor([[10.25, 20.75], [55.9, 0.1], [31.5, 30.0]])
    maps = torch.stack([-((x - column).square() + (y - row).square()) / 4 for column, row in where])[None]
    boxes = torch.tensor([[100.0, 50.0, 156.0, 162.0]])
    found = read_keypoints(maps, boxes)
    expected = where * torch.tensor([1.0, 2.0]) + boxes[0, :2]
    torch.testing.assert_close(found[0, :, :2], expected, rtol=0, atol=0.5)
    theirs, _ = heatmaps_to_keypoints(maps, boxes)
    assert (found[0, :, :2] - expected).norm() < (theirs[0, :, :2] - expected).norm()


def test_softmax_masks_by_hand() -> None:
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 2, 0, 0] = 1.0
    target = torch.tensor([[[1.0, 0.0]]])  # inside, outside
    inside, outside = torch.tensor([0.0, 0.0, 1.0]).log_softmax(0)[2], torch.zeros(3).log_softmax(0)[0]
    loss = mask_loss(logits, target, torch.tensor([2]), "softmax")
    torch.testing.assert_close(loss, -(inside + outside) / 2)
    found = mask_probabilities(logits, torch.tensor([2]), "softmax")
    torch.testing.assert_close(found, torch.tensor([[[inside.exp(), 1 / 3]]]))


def test_joint_loss_by_hand() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 0, 1, 0] = 2.0
    boxes = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    joints = torch.tensor([[[12.0, 16.0, 2.0], [25.0, 16.0, 2.0], [12.0, 12.0, 0.0]]])  # inside, outside, unlabeled
    expected = F.cross_entropy(torch.tensor([[0.0, 0.0, 2.0, 0.0]]), torch.tensor([2]))
    torch.testing.assert_close(keypoint_loss(logits, joints, boxes), expected)
    assert keypoint_loss(logits, joints * torch.tensor([1.0, 1.0, 0.0]), boxes) == 0


SMALL = {"min_size": 96, "max_size": 128, "rpn_post_nms_train": 30, "rpn_post_nms_test": 10, "roi_batch": 16}
SMALL |= {"detections_per_image": 4}  # the keypoint branch takes a tenth of a second for each
C4_HEAD = {"backbone": "resnet18", "neck": "c4", "head": "backbone"}
VARIANTS = [
    {"mask_head": "mlp"},
    {"mask_loss": "softmax", "mask_widths": [16, 24], "keypoint_widths": [16]},
    {"roi_op": "pool"},
    {"neck": "c4"},
    C4_HEAD,
    {**C4_HEAD, "mask_head": "mlp"},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_every_variant_trains_and_finds_masks(options: dict[str, str]) -> None:
    network = MaskRCNN(
        CLASSES, heads=["keypoint", "mask"], num_keypoints=JOINTS, **{"backbone": "tiny", **SMALL, **options}
    )
    images, targets = instances([2, 0, 1])
    losses = network.losses(images, targets)
    assert tuple(losses) == network.loss_names == (*MaskRCNN.loss_names[:4], "keypoint", "mask")
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)
    for found in network.predict(images):
        count = len(found["boxes"])
        assert decode_masks(MaskRuns(found["mask_runs"], found["mask_lengths"], SIZE)).shape == (count, *SIZE)
        assert found["keypoints"].shape == (count, JOINTS, 3)


def test_narrow_branches_are_those_of_torchvision() -> None:
    options = {"backbone": "tiny", "neck": "c4", "num_keypoints": JOINTS, **SMALL}
    narrow = MaskRCNN(
        CLASSES, heads=["mask", "keypoint"], mask_widths=[16, 24], keypoint_widths=[8, 12], **options
    ).roi_heads
    theirs = {
        "mask_head": MaskRCNNHeads(128, (16, 24), 1),
        "mask_predictor": MaskRCNNPredictor(24, 24, CLASSES),
        "keypoint_head": KeypointRCNNHeads(128, (8, 12)),
        "keypoint_predictor": KeypointRCNNPredictor(12, JOINTS),
    }
    regions = torch.rand(2, 128, 14, 14)
    for branch in ("mask", "keypoint"):
        parts = [f"{branch}_head", f"{branch}_predictor"]
        for part in parts:
            theirs[part].load_state_dict(narrow.get_submodule(part).state_dict())
        expected = theirs[parts[1]](theirs[parts[0]](regions))
        torch.testing.assert_close(
            narrow.get_submodule(parts[1])(narrow.get_submodule(parts[0])(regions)), expected, rtol=0, atol=0
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mask_widths": []}, r"mask_widths: \[\] leaves the branch without a convolution"),
        ({"mask_widths": [16, 0]}, r"mask_widths: \[16, 0\] makes no sense; give at least 1"),
        ({"keypoint_widths": [0]}, r"keypoint_widths: \[0\] makes no sense; give at least 1"),
        ({"mask_widths": [16], "mask_head": "mlp"}, r"mask_widths: \[16\] has no effect with mask_head: mlp"),
        ({"mask_widths": [16], **C4_HEAD}, r"mask_widths: \[16\] has no effect with head: backbone"),
    ],
)
def test_widths_that_fit_no_branch_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        MaskRCNN(CLASSES, heads=["mask", "keypoint"], **{"backbone": "tiny", **options})


@pytest.mark.parametrize("heads", [[], ["mask"], ["keypoint"]])
def test_any_subset_of_the_branches_trains_and_predicts(heads: list[str]) -> None:
    network = MaskRCNN(CLASSES, heads=heads, num_keypoints=JOINTS, backbone="tiny", **SMALL)
    images, targets = instances([0, 0])
    losses = network.losses(images, targets)
    assert tuple(losses) == (*MaskRCNN.loss_names[:4], *heads)
    assert all(losses[name] == 0 for name in heads)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_dense_masks_give_the_losses_of_their_runs() -> None:
    images, targets = instances([2, 3])
    dense = []
    for target in targets:
        masks = decode_masks(MaskRuns(target["mask_runs"], target["mask_lengths"], SIZE))
        others = {name: value for name, value in target.items() if not name.startswith("mask_")}
        dense.append({**others, "masks": masks})
    losses = []
    for wanted in (targets, dense):
        torch.manual_seed(0)
        network = MaskRCNN(CLASSES, backbone="tiny", min_size=None, head_features=8)
        losses.append(network.losses(images, wanted))
    assert losses[0] == losses[1]
    assert losses[0]["mask"] > 0


def test_an_unknown_branch_is_refused() -> None:
    for heads in (["masks"], ["mask", "mask"]):
        with pytest.raises(UserError, match="name each of mask and keypoint at most once"):
            MaskRCNN(CLASSES, heads=heads, backbone="tiny")
