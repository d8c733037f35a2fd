"""FastRCNN: sampling and losses of the paper, its options, and batches without objects or proposals."""

import copy

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_iou, roi_pool

from lit_cv.errors import UserError
from lit_cv.models.images import Objects
from lit_cv.models.network import evaluating
from lit_cv.models.rcnn.fast_rcnn import FastRCNN, inside
from lit_cv.models.rcnn.roi_head import ROI_WEIGHTS, RegionSample
from lit_cv.ops.boxes import encode_boxes
from tests.helpers.scenes import CLASSES, randomize, scene

SIZES = [(96, 128), (150, 110), (128, 128)]


def fast_rcnn(**options: object) -> FastRCNN:
    torch.manual_seed(0)
    defaults = {"backbone": "tiny", "head_features": 48, "min_size": 96, "max_size": 128}
    return FastRCNN(CLASSES, **{**defaults, **options})


def lying(*widths: float) -> torch.Tensor:
    """Return boxes whose IoU with a square of side 100 is a hundredth of their width."""
    return torch.tensor([[0.0, 0.0, width, 100.0] for width in widths])


def one_object() -> Objects:
    return Objects(lying(100)[None], torch.tensor([[3]]), [1])


def test_a_quarter_of_the_sample_is_positive_and_the_background_overlaps() -> None:
    proposals = lying(
        *[50 + i for i in range(40)], *[10 + 0.4 * i for i in range(99)], *[0.1 * i for i in range(1, 99)]
    )
    sample = fast_rcnn().roi_heads.sample([proposals], one_object())
    overlap = box_iou(sample.rois[:, 1:], lying(100))[:, 0]
    assert len(overlap) == 64
    assert sample.classes.unique().tolist() == [0, 3]
    positive = sample.classes > 0
    assert positive.sum() == 16
    assert (overlap[positive] >= 0.5).all()
    assert ((overlap[~positive] >= 0.1) & (overlap[~positive] < 0.5)).all()
    assert len(sample.rois.unique(dim=0)) == 64


def test_both_limits_of_the_background_are_those_of_the_paper() -> None:
    sample = fast_rcnn().roi_heads.sample([lying(9.99, 10, 49.99, 50)], one_object())
    chosen = {round(float(roi[3]), 2): int(label) for roi, label in zip(sample.rois, sample.classes, strict=True)}
    assert chosen == {10: 0, 49.99: 0, 50: 3, 100: 3}  # the last is the object itself
    assert (sample.boxes[sample.classes > 0] == lying(100)).all()


def test_an_image_without_objects_gives_background_of_any_overlap() -> None:
    empty = Objects(torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.int64), [0])
    sample = fast_rcnn().roi_heads.sample([lying(*range(1, 101))], empty)
    assert len(sample.rois) == 64
    assert not sample.classes.any()


def regions() -> tuple[torch.Tensor, torch.Tensor, RegionSample]:
    """Return logits, deltas and eight sampled regions of two images, three of them background."""
    generator = torch.Generator().manual_seed(4)
    boxes = torch.rand(2, 8, 2, 2, generator=generator).sort(dim=2).values.flatten(2) * 80
    boxes[..., 2:] += 5
    rois = torch.cat((torch.tensor([[0.0]] * 5 + [[1.0]] * 3), boxes[0]), dim=1)
    sample = RegionSample(rois, torch.tensor([1, 0, 4, 2, 0, 3, 1, 0]), boxes[1], torch.arange(8))
    return torch.randn(8, CLASSES, generator=generator), torch.randn(8, CLASSES, 4, generator=generator), sample


def test_losses_are_torchvisions_except_for_beta_of_smooth_l1() -> None:
    head = fast_rcnn().roi_heads
    head.beta = 1 / 9
    logits, deltas, sample = regions()
    targets = encode_boxes(sample.boxes, sample.rois[:, 1:], ROI_WEIGHTS)
    parts = [(sample.classes[:5], targets[:5]), (sample.classes[5:], targets[5:])]
    expected = fastrcnn_loss(logits, deltas.flatten(1), [p[0] for p in parts], [p[1] for p in parts])
    for found, wanted in zip(head.losses(logits, deltas, sample), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_losses_are_equations_1_to_3_of_the_paper() -> None:
    logits, deltas, sample = regions()
    class_loss, box_loss = fast_rcnn().roi_heads.losses(logits, deltas, sample)
    probabilities = logits.softmax(dim=1)
    classes = boxes = 0.0
    for row, label in enumerate(sample.classes.tolist()):
        classes -= float(probabilities[row, label].log())
        if label:
            x, y, right, bottom = sample.rois[row, 1:].tolist()
            gx, gy, gright, gbottom = sample.boxes[row].tolist()
            w, h, gw, gh = torch.tensor([right - x, bottom - y, gright - gx, gbottom - gy], dtype=torch.float64)
            v = [(gx + gw / 2 - x - w / 2) / w, (gy + gh / 2 - y - h / 2) / h, (gw / w).log(), (gh / h).log()]
            for t, target, deviation in zip(deltas[row, label].tolist(), v, (0.1, 0.1, 0.2, 0.2), strict=True):
                error = abs(t - float(target) / deviation)
                boxes += 0.5 * error**2 if error < 1 else error - 0.5
    assert float(class_loss) == pytest.approx(classes / 8, rel=1e-5)
    assert float(box_loss) == pytest.approx(boxes / 8, rel=1e-5)


def gradients(network: FastRCNN, name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    network.losses(*scene([3, 2, 4], SIZES))[name].backward()
    return {key: value.grad for key, value in network.named_parameters() if value.grad is not None}


def test_separate_box_regression_trains_only_the_box_layer() -> None:
    network = fast_rcnn(box_regression="separate")
    separate = gradients(network, "roi_box")
    assert set(separate) == {f"roi_heads.box_predictor.bbox_pred.{part}" for part in ("weight", "bias")}
    assert all(value.any() for value in separate.values())
    joint = gradients(fast_rcnn(), "roi_box")
    for key, value in separate.items():
        torch.testing.assert_close(value, joint[key])
    assert any(value.any() for key, value in joint.items() if key.startswith("backbone."))


def test_without_box_regression_the_box_loss_is_zero() -> None:
    none = gradients(fast_rcnn(box_regression="none"), "roi_box")
    assert len(none) > 8
    assert not any(value.any() for value in none.values())


def away(boxes: torch.Tensor, given: torch.Tensor) -> float:
    """Return the largest difference, in pixels, between a box and the closest given box."""
    return float((boxes[:, None] - given).abs().amax(dim=2).amin(dim=1).amax())


@pytest.mark.parametrize("box_regression", ["train", "none"])
def test_without_regression_at_test_detections_are_proposals(box_regression: str) -> None:
    network = fast_rcnn(box_regression=box_regression)
    randomize(network)
    images, targets = scene([3, 2, 4], SIZES)
    proposals = [target["proposals"] for target in targets]
    for found, given in zip(network.predict(images, proposals), proposals, strict=True):
        assert len(found["boxes"]) > 3
        assert away(found["boxes"], given) < 0.4  # the narrowest were widened to a pixel
    refined = fast_rcnn()
    refined.load_state_dict(network.state_dict())
    found = refined.predict(images, proposals)
    assert away(found[0]["boxes"], proposals[0]) > 1


def test_inward_boxes_are_the_part_of_the_free_boxes_in_their_regions() -> None:
    boxes = torch.tensor([[-5.0, 2, 8, 14], [1, 1, 9, 9], [12, 3, 20, 9]])
    region = torch.tensor([0.0, 0, 10, 10])
    assert inside(boxes, region.expand(3, 4)).tolist() == [[0, 2, 8, 10], [1, 1, 9, 9], [10, 3, 10, 9]]
    every = {"score_threshold": 0.0, "nms_threshold": 1.0, "detections_per_image": 10_000}
    network, inward = fast_rcnn(**every), fast_rcnn(box_regression="inward", **every)
    randomize(network)
    inward.load_state_dict(network.state_dict())
    images, targets = scene([3], SIZES[:1])
    given = targets[0]["proposals"]
    found, clamped = (part.predict(images, [given])[0] for part in (network, inward))
    assert torch.equal(found["scores"], clamped["scores"])
    corners = torch.maximum(torch.minimum(found["boxes"][:, None], given[:, [2, 3, 2, 3]]), given[:, [0, 1, 0, 1]])
    assert away(clamped["boxes"], corners.flatten(0, 1)) < 0.4  # the narrowest regions were widened to a pixel
    assert away(clamped["boxes"], found["boxes"]) > 1


def test_boxes_that_leave_their_region_are_counted() -> None:
    network = fast_rcnn()
    randomize(network)
    images, targets = scene([3], SIZES[2:])
    given = targets[0]["proposals"]
    network.predict(images, [given])
    batch = network.batch(images)
    regions = given * batch.scales()[0]
    regions[:, 2:] = torch.maximum(regions[:, 2:], regions[:, :2] + 1)
    with torch.no_grad(), evaluating(network):
        logits, deltas, _ = network(batch.pixels, F.pad(regions, (1, 0)))
    decoded = BoxCoder(ROI_WEIGHTS).decode(deltas.flatten(1), [regions])
    outside, total = 0, 0
    for region, boxes, label in zip(regions, decoded, logits.argmax(dim=1), strict=True):
        total += bool(label)
        beyond = (boxes[label] - region) * torch.tensor([-1, -1, 1, 1])
        outside += bool(label) and bool((beyond > 1).any())
    assert [int(number) for number in network.outside] == [outside, total]
    assert 0 < outside < total
    for way in ("inward", "train"):
        network.box_regression = way
        network.predict(images, [given])
        assert [int(number) for number in network.outside] == [0, total]


def test_a_batch_without_positives_has_no_box_loss() -> None:
    network = fast_rcnn()
    images, targets = scene([0, 0, 0], SIZES)
    losses = network.losses(images, targets)
    assert losses["roi_class"] > 0
    assert losses["roi_box"] == 0
    sum(losses.values()).backward()
    assert all(value.grad.isfinite().all() for value in network.parameters())


@pytest.mark.parametrize("objects", [[2, 0, 1], [0, 0, 0]])
def test_images_without_proposals_train_and_have_no_detections(objects: list[int]) -> None:
    network = fast_rcnn()
    images, targets = scene(objects, SIZES)
    for target in targets[: 1 if any(objects) else 3]:
        target["proposals"] = torch.zeros(0, 4)
    losses = network.losses(images, targets)
    assert all(value.isfinite() for value in losses.values())
    sum(losses.values()).backward()
    assert all(value.grad.isfinite().all() for value in network.parameters())
    found = network.predict(images, [target["proposals"] for target in targets])
    assert found[0]["boxes"].shape == (0, 4)
    assert (len(found[2]["boxes"]) > 0) == any(objects)


def test_proposals_without_area_give_finite_results() -> None:
    network = fast_rcnn()
    images, targets = scene([0, 3, 0], SIZES)
    for target in targets:
        target["proposals"] = torch.tensor([[10.0, 10, 10, 10], [0, 0, 40, 0], [128, 96, 128, 96]])
    losses = network.losses(images, targets)
    assert all(value.isfinite() for value in losses.values())
    found = network.predict(images, [target["proposals"] for target in targets])
    assert all(part["boxes"].isfinite().all() for part in found)


def test_missing_proposals_are_one_sentence() -> None:
    images, targets = scene([1], SIZES[:1])
    with pytest.raises(UserError, match=r"set data.init_args.proposals"):
        fast_rcnn().losses(images, [{key: targets[0][key] for key in ("boxes", "labels")}])


def test_only_the_best_proposals_are_used() -> None:
    images, targets = scene([2, 3, 1], SIZES)
    proposals = [target["proposals"] for target in targets]
    few = fast_rcnn(proposals_test=7, score_threshold=0.0, nms_threshold=1.0)
    assert [len(found["boxes"]) for found in few.predict(images, proposals)] == [7 * (CLASSES - 1)] * 3
    few = fast_rcnn(proposals_train=2)
    torch.manual_seed(1)
    expected = few.losses(images, targets)
    for target in targets:
        target["proposals"] = target["proposals"][:2]
    torch.manual_seed(1)
    assert few.losses(images, targets) == expected


def test_features_of_regions_are_those_of_the_scaled_image() -> None:
    network = fast_rcnn(min_size=256, max_size=256)
    images, targets = scene([2, 0, 3], [(128, 128)] * 3)
    given = [target["boxes"] for target in targets]
    features = network.region_features(images, given)
    assert network.training
    assert features.shape == (5, 48)
    network.eval()
    batch = network.batch(images)
    with torch.no_grad():
        features_map = network.backbone(batch.pixels)["0"]
        rois = torch.cat([F.pad(2 * boxes, (1, 0), value=image) for image, boxes in enumerate(given)])
        expected = network.roi_heads.box_head(roi_pool(features_map, rois, 7, 1 / 16))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_all_singular_values_give_the_same_results_and_fewer_cost_less() -> None:
    whole = fast_rcnn()
    randomize(whole)
    images, targets = scene([2, 3, 1], SIZES)
    proposals = [target["proposals"] for target in targets]
    expected = whole.predict(images, proposals)
    costs = {}
    for name, svd in {"whole": None, "full": [48, 48], "few": [8, 4]}.items():
        network = fast_rcnn(svd=svd)
        network.load_state_dict(whole.state_dict())
        with FlopCounterMode(display=False) as counter:
            found = network.predict(images, proposals)
        costs[name] = counter.get_total_flops()
        if name == "full":
            for one, two in zip(found, expected, strict=True):
                assert torch.equal(one["labels"], two["labels"])
                torch.testing.assert_close(one["scores"], two["scores"], rtol=0, atol=1e-4)
                torch.testing.assert_close(one["boxes"], two["boxes"], rtol=0, atol=1e-2)
    # A layer costs U V multiplications per region, or rank (U + V).
    inputs, count = whole.roi_heads.box_head.fc6.in_features, sum(len(part) for part in proposals)
    saved = inputs * 48 + 48 * 48 - 8 * (inputs + 48) - 4 * (48 + 48)
    assert costs["whole"] - costs["few"] == 2 * count * saved


def test_singular_values_follow_the_weights_and_change_no_state() -> None:
    network = fast_rcnn(svd=[8, 4])
    images, targets = scene([2, 3, 1], SIZES)
    boxes = [target["boxes"] for target in targets]
    keys, state = set(network.state_dict()), torch.get_rng_state()
    before = network.region_features(images, boxes)
    assert torch.equal(before, network.region_features(images, boxes))
    assert set(network.state_dict()) == keys
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(copy.deepcopy(network).region_features(images, boxes), before)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    sum(network.losses(images, targets).values()).backward()
    optimizer.step()
    after = network.region_features(images, boxes)
    fresh = fast_rcnn(svd=[8, 4])
    fresh.load_state_dict(network.state_dict())
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, fresh.region_features(images, boxes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"svd": [8]}, "has 2 fully connected layers"),
        ({"svd": [8, 49]}, r"at most \[48, 48\]"),
        ({"svd": [0, 8]}, "one rank for each"),
        ({"svd": [8, 8], "backbone": "resnet18", "head": "backbone"}, "has 0 fully connected layers; set it to null"),
    ],
)
def test_ranks_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fast_rcnn(**options)


def test_the_papers_network_is_vgg_up_to_conv5_with_fc6_and_fc7() -> None:
    network = fast_rcnn(backbone="vgg16", head="backbone", trainable_layers=3, svd=[1024, 256])
    assert network.strides == [16]
    trained = [name for name, value in network.backbone.named_parameters() if value.requires_grad]
    assert trained[0] == "body.10.weight"  # conv3_1
    assert network.roi_heads.box_predictor.cls_score.in_features == 4096


def test_trained_svms_replace_the_softmax() -> None:
    network = fast_rcnn(classifier="svm", nms_threshold=1.0, detections_per_image=10_000, score_threshold=0.0)
    images, targets = scene([1, 0, 2], SIZES)
    proposals = [target["proposals"] for target in targets]
    before = network.predict(images, proposals)
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(CLASSES - 1, 48, generator=generator), torch.tensor([0.1, -0.2, -torch.inf, 0.3])
    network.region_classifiers.set_svms(weight, bias)
    scores = (network.region_features(images, proposals) @ weight.T + bias).sigmoid().split([len(p) for p in proposals])
    for found, expected in zip(network.predict(images, proposals), scores, strict=True):
        assert 3 not in found["labels"]  # bias -inf: this class has no SVM
        torch.testing.assert_close(found["scores"], expected[expected > 0].sort(descending=True).values)
    network.classifier = "softmax"
    for found, earlier in zip(network.predict(images, proposals), before, strict=True):
        assert all(torch.equal(found[key], earlier[key]) for key in ("boxes", "scores", "labels"))
