"""Properties of every detector."""

import copy
from collections.abc import Callable

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.models import (
    FCOS,
    RCNN,
    RFCN,
    SSD,
    YOLO,
    DenseCap,
    Detector,
    FasterRCNN,
    FastRCNN,
    RetinaNet,
    SlidingWindowDetector,
)
from tests.helpers.scenes import CLASSES, one_square, overfit, scene

MIXED = [(70, 90), (128, 100), (60, 128)]


def faster_rcnn(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "neck": "c4", "anchor_scales": [24.0, 48.0], "head_features": 64}
    return FasterRCNN(CLASSES, min_size=96, max_size=128, **{**defaults, **options})


def fast_rcnn(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "head_features": 64, "min_size": 96, "max_size": 128}
    return FastRCNN(CLASSES, **{**defaults, **options})


def rcnn(**options: object) -> Detector:
    return RCNN(CLASSES, **{"backbone": "tiny", "size": 48, "padding": 4, "windows": 64, **options})


def sliding_window(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "size": 32, "stride": 0.5, "min_size": 96, "max_size": 128, "windows_per_image": 16}
    return SlidingWindowDetector(CLASSES, **{**defaults, **options})


def ssd(**options: object) -> Detector:
    return SSD(CLASSES, **{"backbone": "tiny", "size": 96, "anchor_ratios": [[2.0]] * 3, **options})


def yolo(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "size": 96, "grid": 3, "neck_channels": [64, 64], "hidden": 128, "dropout": 0.0}
    return YOLO(CLASSES, score_threshold=0.0, **{**defaults, **options})


def retinanet(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "channels": 64, "min_size": 96, "max_size": 128, "score_threshold": 1e-3}
    return RetinaNet(CLASSES, **{**defaults, **options})


def fcos(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "channels": 64, "min_size": 96, "max_size": 128, "score_threshold": 1e-3}
    return FCOS(CLASSES, **{**defaults, **options})


def rfcn(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "bins": 3, "features": 64, "anchor_scales": [24.0, 48.0]}
    return RFCN(CLASSES, min_size=96, max_size=128, **{**defaults, **options})


def densecap(**options: object) -> Detector:
    defaults = {"backbone": "tiny", "neck": "c4", "anchor_scales": [24.0, 48.0], "head_features": 64}
    return DenseCap(20, embedding=16, hidden=16, min_size=96, max_size=128, **{**defaults, **options})


BUILDERS = {
    "faster_rcnn_c4": faster_rcnn,
    "faster_rcnn_fpn": lambda **options: faster_rcnn(neck="fpn", anchor_scales=None, **options),
    "faster_rcnn_pool": lambda **options: faster_rcnn(roi_op="pool", **options),
    "faster_rcnn_batch_norm": lambda **options: faster_rcnn(backbone="resnet18", norm="train", **options),
    "fast_rcnn": fast_rcnn,
    "fast_rcnn_align": lambda **options: fast_rcnn(roi_op="align", **options),
    "fast_rcnn_batch_norm": lambda **options: fast_rcnn(backbone="resnet18", norm="train", **options),
    "fast_rcnn_backbone_head": lambda **options: fast_rcnn(backbone="resnet18", head="backbone", **options),
    "rcnn": rcnn,
    "rcnn_batch_norm": lambda **options: rcnn(backbone="resnet18", norm="train", **options),
    "sliding_window": sliding_window,
    "sliding_window_batch_norm": lambda **options: sliding_window(backbone="resnet18", norm="train", **options),
    "ssd": ssd,
    "yolo": yolo,
    "yolo_convolutional": lambda **options: yolo(head="convolutional", batch_norm=True, **options),
    "ssd_batch_norm": lambda **options: ssd(backbone="mobilenet_v3_small", norm="train", **options),
    "retinanet": retinanet,
    "retinanet_batch_norm": lambda **options: retinanet(backbone="resnet18", norm="train", **options),
    "fcos": fcos,
    "fcos_batch_norm": lambda **options: fcos(backbone="resnet18", norm="train", **options),
    "rfcn": rfcn,
    "rfcn_align": lambda **options: rfcn(roi_op="align", **options),
    "densecap": densecap,
    "densecap_bilinear_beam": lambda **options: densecap(roi_op="bilinear", beam=3, **options),
    "densecap_fpn": lambda **options: densecap(neck="fpn", roi_op="bilinear", anchor_scales=None, **options),
}
Builder = Callable[..., Detector]


@pytest.fixture(params=BUILDERS)
def build(request: pytest.FixtureRequest) -> Builder:
    torch.manual_seed(0)
    return BUILDERS[request.param]


@pytest.mark.parametrize("objects", [[2, 0, 1], [0, 0, 0]])
def test_losses_are_finite_and_reach_every_parameter(build: Builder, objects: list[int]) -> None:
    network = build()
    losses = network.losses(*scene(objects, MIXED))
    assert tuple(losses) == network.loss_names
    assert all(loss.dim() == 0 and loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_predictions_do_not_depend_on_the_mode_and_do_not_change_the_network(build: Builder) -> None:
    network = build().eval()
    images, _ = scene([0, 0, 0], MIXED)
    expected = network.predict(images)
    network.train()
    part = next(iter(network.children())).eval()  # a part in eval mode must stay in eval mode
    state = copy.deepcopy(network.state_dict())
    found = network.predict(images)
    assert network.training
    assert not part.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    for first, second in zip(found, expected, strict=True):
        assert all(torch.equal(first[key], second[key]) for key in ("boxes", "scores", "labels"))


def test_training_follows_validation_in_inference_mode(build: Builder) -> None:
    network = build()
    images, targets = scene([2, 0, 1], MIXED)
    with torch.inference_mode():
        network.predict(images)
        network.losses(images, targets)
    sum(network.losses(images, targets).values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_losses_in_eval_mode_do_not_change_the_statistics(build: Builder) -> None:
    network = build().eval()
    state = copy.deepcopy(network.state_dict())
    losses = network.losses(*scene([2, 0, 1], MIXED))
    assert tuple(losses) == network.loss_names
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_detections_keep_the_contract(build: Builder) -> None:
    network = build()
    images, _ = scene([0, 0, 0], MIXED)
    for image, found in zip(images, network.predict(images), strict=True):
        count = len(found["scores"])
        assert found["boxes"].shape == (count, 4)
        assert (found["boxes"].dtype, found["scores"].dtype) == (torch.float32, torch.float32)
        assert found["labels"].dtype == torch.int64
        assert found["labels"].shape == (count,)
        assert not found["boxes"].requires_grad
        assert (found["scores"].diff() <= 0).all()
        assert count > 0
        assert ((found["labels"] >= 1) & (found["labels"] < CLASSES)).all()
        height, width = image.shape[-2:]
        limits = torch.tensor([width, height, width, height]) + 1e-3
        assert ((found["boxes"] >= 0) & (found["boxes"] <= limits)).all()


def test_memory_format_changes_no_result(build: Builder) -> None:
    plain, last = build().eval(), build(channels_last=True).eval()
    last.load_state_dict(plain.state_dict())
    images, targets = scene([2, 0, 1], MIXED)
    assert any(parameter.is_contiguous(memory_format=torch.channels_last) for parameter in last.parameters())
    torch.manual_seed(1)
    expected = plain.losses(images, targets)
    torch.manual_seed(1)
    for name, loss in last.losses(images, targets).items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-3, atol=1e-4)


def test_an_image_has_the_same_scores_alone_and_in_a_batch() -> None:
    network = ssd()
    images, _ = scene([0, 0, 0], MIXED)
    together = network.predict(images)
    for image, found in zip(images, together, strict=True):
        torch.testing.assert_close(network.predict([image])[0]["scores"], found["scores"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neck": "fpn", "anchor_scales": [32.0, 64.0]}, "one scale .* for each of 4 levels"),
        ({"neck": "fpn", "anchor_scales": [[32.0], [64.0], [128.0, 256.0], [512.0]]}, "of equal length"),
        ({"anchor_scales": []}, "give at least one of each"),
    ],
)
def test_wrong_anchors_of_faster_rcnn_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        faster_rcnn(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor_ratios": [[2.0]]}, "at least two maps"),
        ({"anchor_scales": [0.1, 0.2]}, "SSD on tiny has 3 maps"),
        ({"backbone": "vgg16", "size": 320}, "size=320: SSD on vgg16 is SSD300 or SSD512"),
    ],
)
def test_wrong_maps_of_ssd_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ssd(**options)


def test_anchors_follow_scales_and_ratios() -> None:
    network = faster_rcnn(anchor_scales=[32.0], anchor_ratios=[1.0])
    assert network.rpn.head.cls_logits.out_channels == 1
    network = faster_rcnn(neck="fpn", anchor_scales=[[8.0, 12.0], [16.0, 24.0], [32.0, 48.0], [64.0, 96.0]])
    assert network.rpn.head.cls_logits.out_channels == 6
    sides = [
        (cell[:, 2:] - cell[:, :2]).prod(dim=1).sqrt().max().item()
        for cell in network.rpn.anchor_generator.cell_anchors
    ]
    assert sides == pytest.approx([12, 24, 48, 96], rel=0.15)


def test_ssd_without_ratios_has_the_two_squares() -> None:
    network = ssd(anchor_ratios=[[], [], []])
    assert [layer.out_channels for layer in network.head.regression_head.module_list] == [8, 8, 8]


def test_plain_and_atrous_vgg16_have_the_same_grids() -> None:
    grids = []
    for atrous in (True, False):
        network = SSD(CLASSES, atrous=atrous)
        maps = network.backbone(torch.zeros(1, 3, 300, 300)).values()
        grids.append([level.shape[-1] for level in maps])
        heads = [layer.in_channels for layer in network.head.classification_head.module_list]
        assert [level.shape[1] for level in maps] == heads
    assert grids[0] == grids[1] == [38, 19, 10, 5, 3, 1]


@pytest.mark.slow
@pytest.mark.parametrize("builder", [faster_rcnn, ssd, fast_rcnn, rcnn, yolo, retinanet, fcos, rfcn])
def test_detectors_overfit_a_few_images(builder: Builder) -> None:
    torch.manual_seed(0)
    network = builder()
    images, targets = one_square()

    def check() -> None:
        for found, target in zip(network.predict(images), targets, strict=True):
            assert found["labels"][0] == target["labels"][0]
            assert found["scores"][0] > 0.8
            torch.testing.assert_close(found["boxes"][0], target["boxes"][0], rtol=0, atol=4)

    overfit(network, images, targets, 200, check)


def test_an_image_one_pixel_wide_is_accepted(build: Builder) -> None:
    network = build()
    image = torch.full((3, 300, 1), 90, dtype=torch.uint8)
    target = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "proposals": torch.zeros(0, 4)}
    target["tokens"] = torch.zeros(0, 3, dtype=torch.int64)
    assert all(loss.isfinite() for loss in network.losses([image, image], [target, target]).values())
    for found in network.predict([image, image]):
        assert found["boxes"].isfinite().all()
