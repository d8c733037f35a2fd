"""RCNN: the warp against a slow reference, the sampling, the layers, and detections before and after the SVMs."""

import math

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from lit_cv.errors import UserError
from lit_cv.models.backbones import classifier_ends as window_head
from lit_cv.models.backbones.classifier_ends import WindowHead
from lit_cv.models.backbones.trunk import build_trunk
from lit_cv.models.rcnn.rcnn import RCNN
from lit_cv.ops.warp import warp_regions
from tests.helpers.scenes import CLASSES, scene

SIZES = [(70, 90), (128, 100), (60, 128)]


def rcnn(**options: object) -> RCNN:
    torch.manual_seed(0)
    return RCNN(
        CLASSES, **{"backbone": "tiny", "size": 48, "padding": 4, "windows": 32, "score_threshold": 0, **options}
    )


def slow_warp(image: Tensor, box: list[float], size: int, padding: int) -> Tensor:
    """Interpolate pixel by pixel. A pixel's center is half a pixel from its edges; pixels outside the image are 0."""
    channels, height, width = image.shape
    inner = size - 2 * padding
    warped = torch.zeros(channels, size, size)
    for row in range(size):
        for column in range(size):
            # The box spans the pixels from `padding` to `size - padding` of the result.
            x = box[0] + (column + 0.5 - padding) / inner * (box[2] - box[0])
            y = box[1] + (row + 0.5 - padding) / inner * (box[3] - box[1])
            if not (0 <= x <= width and 0 <= y <= height):
                continue
            x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
            left, top = math.floor(x), math.floor(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            upper = image[:, top, left] * (left + 1 - x) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (left + 1 - x) + image[:, bottom, right] * (x - left)
            warped[:, row, column] = upper * (top + 1 - y) + lower * (y - top)
    return warped


@pytest.mark.parametrize(("size", "padding"), [(24, 5), (17, 0)])
def test_warp_equals_the_slow_reference(size: int, padding: int) -> None:
    image = torch.randn(3, 20, 31, generator=torch.Generator().manual_seed(0))
    boxes = [
        [4.0, 3, 25, 15],  # inside
        [0, 0, 31, 20],  # the image: all of its context is outside
        [20.3, 11.7, 30.9, 19.6],  # near a corner
        [7, 6, 7.5, 18],  # narrower than a pixel
        [3, 3, 4, 4],  # one pixel
    ]
    warped = warp_regions(image, torch.tensor(boxes), size, padding)
    for result, box in zip(warped, boxes, strict=True):
        torch.testing.assert_close(result, slow_warp(image, box, size, padding), rtol=0, atol=1e-4)
    assert warp_regions(image, torch.zeros(0, 4), size, padding).shape == (0, 3, size, size)


def test_context_is_exactly_16_pixels_wide() -> None:
    image = torch.ones(2, 100, 200)
    image[0, 30:60], image[1, :, 50:140] = 2, 2  # the rows and the columns of the proposal
    (warped,) = warp_regions(image, torch.tensor([[50.0, 30, 140, 60]]), 227, 16)
    inside = torch.zeros(227, 227)
    inside[16:-16, 16:-16] = 1
    assert torch.equal((warped > 1.5).all(dim=0).float(), inside)
    whole = warp_regions(torch.ones(1, 100, 200), torch.tensor([[0.0, 0, 200, 100]]), 227, 16)[0, 0]
    assert torch.equal((whole > 0.5).float(), inside)  # pixels outside the image are the mean, 0


def test_a_quarter_of_the_sample_of_all_images_is_positive() -> None:
    network = rcnn(windows=40)
    square = torch.tensor([[0.0, 0, 100, 100]])

    def lying(widths: list[float]) -> Tensor:
        """Return boxes whose IoU with the square is a hundredth of their width."""
        return torch.tensor([[0.0, 0, width, 100] for width in widths])

    targets = [
        {"boxes": square, "labels": torch.tensor([2]), "proposals": lying([50 + i for i in range(20)] + [49.99] * 30)},
        {"boxes": square, "labels": torch.tensor([4]), "proposals": lying([0.1 * i for i in range(1, 60)])},
        {"boxes": square[:0], "labels": torch.tensor([], dtype=torch.int64), "proposals": lying([5, 90])},
    ]
    images = [torch.zeros(3, 100, 120, dtype=torch.uint8)] * 3
    regions, classes = network._sample(images, targets)
    assert sum(map(len, regions)) == len(classes) == 40
    assert int((classes > 0).sum()) == 10
    expected = []
    for part, label in zip(regions, (2, 4, 0), strict=True):
        overlap = box_iou(part, square)[:, 0]
        expected.append(torch.where(overlap >= 0.5, label, 0))
    assert torch.equal(classes, torch.cat(expected))
    network.proposals_train = 3
    assert sum(map(len, network._sample(images, targets)[0])) == 3 + 1 + 3 + 1 + 2  # 1 for each object itself


def test_loss_is_the_cross_entropy_of_the_sampled_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    network = rcnn()
    images, targets = scene([2, 0, 1], SIZES)
    regions, classes = network._sample(images, targets)
    monkeypatch.setattr(network, "_sample", lambda *_: (regions, classes))
    vectors = network.region_features(images, regions)  # pool5 is the last layer of this backbone
    vectors = (vectors - vectors.mean(dim=1, keepdim=True)) / vectors.std(dim=1, correction=0, keepdim=True)
    logits = F.linear(vectors, network.class_head.weight, network.class_head.bias)
    wanted = -logits.log_softmax(dim=1)[range(len(classes)), classes].mean()
    torch.testing.assert_close(network.losses(images, targets)["region_class"], wanted)


def test_a_batch_without_any_region_is_background() -> None:
    network = rcnn()
    images, targets = scene([0, 0, 0], SIZES)
    for target in targets:
        target["proposals"] = torch.zeros(0, 4)
    regions, classes = network._sample(images, targets)
    assert regions[0].tolist() == [[0, 0, 90, 70]]
    assert not classes.any()
    loss = network.losses(images, targets)["region_class"]
    loss.backward()
    assert loss.isfinite()
    for found in network.predict(images, [target["proposals"] for target in targets]):
        assert found["boxes"].shape == (0, 4)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (30, 30)])
def test_images_without_proposals_have_no_detections(size: tuple[int, int]) -> None:
    image = torch.full((3, *size), 90, dtype=torch.uint8)
    (found,) = rcnn().predict([image], [torch.zeros(0, 4)])
    assert len(found["scores"]) == 0
    loss = rcnn().losses([image], [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64),
                                    "proposals": torch.tensor([[0.0, 0, size[1], size[0]]])}])  # fmt: skip
    assert loss["region_class"].isfinite()


@pytest.mark.parametrize(("name", "pool"), [("alexnet", (3, 2)), ("vgg16", (2, 2))])
def test_layers_are_those_of_the_classification_network(
    name: str, pool: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        peer = torchvision.models.get_model(name, weights=None).classifier
    places = [place for place, layer in enumerate(peer) if isinstance(layer, nn.Linear)][:2]
    assert {peer[place].out_features for place in places} == {window_head.FEATURES}
    monkeypatch.setattr(window_head, "FEATURES", 8)
    fc6, fc7 = nn.Linear(peer[places[0]].in_features, 8), nn.Linear(8, 8)
    layers = dict(zip(places, (fc6, fc7), strict=True))
    state = {f"classifier.{place}.{key}": v for place, fc in layers.items() for key, v in fc.state_dict().items()}
    monkeypatch.setattr(window_head, "read_weights", lambda *_: state)
    trunk = build_trunk(name, None, "frozen")
    head = WindowHead(trunk, weights="a file").eval()
    maps = torch.randn(2, trunk.stages[-1].channels, 14, 14)
    pooled = F.max_pool2d(maps, *pool).flatten(1)  # images of 227 or 224 pixels have maps of 14 cells
    vectors = head(maps)
    assert {layer: vector.shape[1] for layer, vector in vectors.items()} == head.lengths
    torch.testing.assert_close(vectors["pool5"], pooled)
    torch.testing.assert_close(vectors["fc6"], fc6(pooled).relu())
    torch.testing.assert_close(vectors["fc7"], fc7(fc6(pooled).relu()).relu())
    assert list(head(maps, last="fc6")) == ["pool5", "fc6"]
    side = {"alexnet": 227, "vgg16": 224}[name]
    assert trunk.layers(torch.zeros(1, 3, side, side)).shape[-1] == 14


def test_features_do_not_depend_on_the_region_batch() -> None:
    images, targets = scene([2, 0, 1], SIZES)
    proposals = [target["proposals"] for target in targets]
    proposals[1] = proposals[1][:0]
    one, many = rcnn(), rcnn(region_batch=7)
    torch.testing.assert_close(one.region_features(images, proposals), many.region_features(images, proposals))
    assert len(one.region_features(images, proposals)) == sum(map(len, proposals))


def test_detections_follow_the_svms_and_the_box_regressors() -> None:
    network = rcnn(nms_threshold=1.0, detections_per_image=10_000)
    images, targets = scene([1, 0, 2], SIZES)
    proposals = [target["proposals"] for target in targets]
    before = network.predict(images, proposals)
    head = network.region_classifiers
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(CLASSES - 1, head.features, generator=generator) / 30
    bias = torch.tensor([0.1, -0.2, -math.inf, 0.3])
    head.set_svms(weight, bias)
    boxes = torch.randn(CLASSES - 1, 4, head.box_features, generator=generator) / 300
    head.set_boxes(boxes, torch.zeros(CLASSES - 1, 4))
    for image, regions, found in zip(images, proposals, network.predict(images, proposals), strict=True):
        vectors = network.region_features([image], [regions])
        scores = (vectors @ weight.T + bias).sigmoid()
        assert 3 not in found["labels"]  # bias -inf: this class has no SVM
        assert len(found["labels"]) == 3 * len(regions)
        torch.testing.assert_close(found["scores"][0], scores.max())
        region, label = divmod(int(scores.argmax()), CLASSES - 1)
        assert found["labels"][0] == label + 1
        # Girshick et al. 2014, eq. 1-4
        dx, dy, dw, dh = (boxes[label] @ vectors[region]).tolist()
        x1, y1, x2, y2 = regions[region].tolist()
        width, height = x2 - x1, y2 - y1
        x, y = width * dx + (x1 + x2) / 2, height * dy + (y1 + y2) / 2
        width, height = width * math.exp(dw), height * math.exp(dh)
        wanted = torch.tensor([x - width / 2, y - height / 2, x + width / 2, y + height / 2]).clamp(min=0)
        wanted = wanted.minimum(torch.tensor([image.shape[-1], image.shape[-2]] * 2))
        torch.testing.assert_close(found["boxes"][0], wanted)
    network.classifier, network.box_regression = "softmax", False
    for found, earlier in zip(network.predict(images, proposals), before, strict=True):
        assert all(torch.equal(found[key], earlier[key]) for key in ("boxes", "scores", "labels"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": 24}, "padding=24: a warped region of size=48 has no room"),
        ({"feature_layer": "fc7"}, "feature_layer=fc7: tiny has pool5"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        rcnn(**options)


def test_targets_without_proposals_are_refused() -> None:
    images, targets = scene([1], SIZES[:1])
    del targets[0]["proposals"]
    with pytest.raises(UserError, match=r"data\.init_args\.proposals"):
        rcnn().losses(images, targets)
