"""YOLO's loss against the paper's equation in plain Python, its boxes and its layers."""

import math

import pytest
import torch
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models import YOLO
from lit_cv.models.backbones.trunk import build_trunk
from lit_cv.models.detection.detector import Keep
from lit_cv.models.detection.yolo import Cells
from tests.helpers.scenes import scene

GRID, BOXES, CLASSES, SIZE = 2, 2, 3, 96
Output = list[list[float]]  # of each cell: 5 numbers for each box, then the classes


def small(**options: object) -> YOLO:
    defaults = {"backbone": "tiny", "size": SIZE, "grid": 3, "neck_channels": [32, 32], "hidden": 48}
    return YOLO(CLASSES + 1, **{**defaults, **options})


def told(outputs: list[Output], monkeypatch: pytest.MonkeyPatch) -> YOLO:
    """Return a network on a grid of 2 x 2 that predicts the given numbers for each image."""
    network = small(size=64, grid=GRID)
    output = torch.tensor(outputs)
    boxes = output[..., : 5 * BOXES].unflatten(2, (BOXES, 5))
    cells = Cells(boxes[..., :4], boxes[..., 4], output[..., 5 * BOXES :])
    monkeypatch.setattr(network, "forward", lambda pixels: cells)
    return network


def equation_3(output: Output, objects: list[tuple[float, float, float, float, int]]) -> dict[str, float]:
    """Compute the five sums for one image. Objects are x, y, w, h relative to the image and a class 0..C-1."""
    sums = dict.fromkeys(YOLO.loss_names, 0.0)
    for cell in range(GRID * GRID):
        row, column = divmod(cell, GRID)
        boxes = [output[cell][5 * place : 5 * place + 5] for place in range(BOXES)]
        mine = [found for found in objects if (int(found[1] * GRID), int(found[0] * GRID)) == (row, column)]
        if not mine:
            sums["no_object"] += sum(box[4] ** 2 for box in boxes)
            continue
        x, y, w, h, label = mine[0]
        absolute = [((column + box[0]) / GRID, (row + box[1]) / GRID, box[2] ** 2, box[3] ** 2) for box in boxes]
        overlaps = [iou(box, (x, y, w, h)) for box in absolute]
        if max(overlaps) > 0:
            best = overlaps.index(max(overlaps))
        else:
            distances = [math.dist(box, (x, y, w, h)) for box in absolute]
            best = distances.index(min(distances))
        for place, box in enumerate(boxes):
            if place == best:
                sums["coordinates"] += (box[0] - (x * GRID - column)) ** 2 + (box[1] - (y * GRID - row)) ** 2
                sums["size"] += (box[2] - math.sqrt(w)) ** 2 + (box[3] - math.sqrt(h)) ** 2
                sums["object"] += (box[4] - overlaps[place]) ** 2
            else:
                sums["no_object"] += box[4] ** 2
        for place in range(CLASSES):
            sums["class"] += (output[cell][5 * BOXES + place] - (1.0 if place == label else 0.0)) ** 2
    return sums


def iou(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    sides = []
    for axis in (0, 1):
        low = max(box[axis] - box[axis + 2] / 2 for box in (first, second))
        high = min(box[axis] + box[axis + 2] / 2 for box in (first, second))
        sides.append(max(0.0, high - low))
    inter = sides[0] * sides[1]
    return inter / (first[2] * first[3] + second[2] * second[3] - inter)


def target(objects: list[tuple[float, float, float, float, int]], height: int, width: int) -> dict[str, Tensor]:
    boxes = [
        [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        for x, y, w, h, _ in objects
    ]
    labels = torch.tensor([label + 1 for *_, label in objects], dtype=torch.int64)
    return {"boxes": torch.tensor(boxes).view(-1, 4), "labels": labels}


def blank(height: int, width: int) -> Tensor:
    return torch.zeros(3, height, width, dtype=torch.uint8)


def test_losses_are_those_of_equation_3(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = (0.3 + 0.5 * torch.randn(3, GRID**2, 5 * BOXES + CLASSES, generator=generator)).tolist()
    first = [(0.2, 0.3, 0.3, 0.5, 1), (0.8, 0.9, 0.25, 0.2, 0)]  # cells 0 and 3
    # Cell 0: the second box has the higher IoU, the first is closer. Cell 3: neither overlaps, the first is closer.
    outputs[0][0][:10] = [0.4, 0.6, 0.1, 0.1, 0.4, 0.5, 0.6, -0.95, 0.95, 0.6]
    outputs[0][3][:10] = [-2.0, 0.5, 0.1, 0.1, 0.2, -3.0, 0.5, 0.1, 0.1, 0.3]
    second = [(0.6, 0.3, 0.6, 0.5, 2)]  # cell 1: its two boxes are equal, so the first is responsible
    outputs[1][1][:10] = [0.3, 0.5, 0.7, 0.8, 0.5, 0.3, 0.5, 0.7, 0.8, 0.9]
    objects = [first, second, []]
    wanted = [equation_3(output, found) for output, found in zip(outputs, objects, strict=True)]
    network = told(outputs, monkeypatch)
    sizes = [(64, 64), (90, 150), (41, 30)]  # resizing to a square keeps relative numbers
    targets = [target(found, *size) for found, size in zip(objects, sizes, strict=True)]
    losses = network.losses([blank(*size) for size in sizes], targets)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(sum(image[name] for image in wanted) / 3, rel=1e-4), name


def test_a_cell_is_trained_on_one_of_its_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    output = (0.5 * torch.randn(GRID**2, 5 * BOXES + CLASSES, generator=torch.Generator().manual_seed(1))).tolist()
    objects = [(0.1, 0.1, 0.2, 0.2, 0), (0.3, 0.4, 0.5, 0.3, 1), (0.9, 0.1, 0.1, 0.2, 2)]
    network = told([output], monkeypatch)
    wanted = [sum(equation_3(output, [objects[place], objects[2]]).values()) for place in (0, 1)]
    assert wanted[0] != pytest.approx(wanted[1], rel=1e-2)
    torch.manual_seed(0)
    sampled = [0, 0]
    for _ in range(40):
        loss = sum(network.losses([blank(50, 70)], [target(objects, 50, 70)]).values()).item()
        sampled[min((0, 1), key=lambda place: abs(loss - wanted[place]))] += 1
        assert min(abs(loss - value) for value in wanted) < 1e-4
    assert min(sampled) > 8


def test_objects_on_the_last_edge_belong_to_the_last_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    network = told([[[0.0] * 13] * 4], monkeypatch)
    edge = {"boxes": torch.tensor([[63.9999, 63.9999, 64.0, 64.0]]), "labels": torch.tensor([1])}
    losses = network.losses([blank(64, 64)], [edge])
    assert losses["coordinates"].item() == pytest.approx(2.0, abs=1e-3)  # target (1, 1), prediction (0, 0)


def test_choice_and_iou_are_constants_in_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    network = told([[[0.5] * 13] * 4], monkeypatch)
    cells = network(None)
    for part in cells:
        part.requires_grad_(True)
    objects = target([(0.25, 0.25, 0.5, 0.4, 0)], 64, 64)
    losses = network.losses([blank(64, 64)], [objects])
    assert torch.autograd.grad(losses["object"], cells.boxes, retain_graph=True, allow_unused=True) == (None,)
    (confidence,) = torch.autograd.grad(losses["object"], cells.confidence, retain_graph=True)
    # A box of 0.25 x 0.25 inside the object of 0.5 x 0.4 in cell 0: IoU 0.3125, d/dc (c - IoU)^2 = 2 (c - IoU).
    assert confidence[0].flatten().tolist() == pytest.approx([2 * (0.5 - 0.3125), *[0.0] * 7])


def test_boxes_and_scores_are_decoded_from_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    output = [[0.0] * 13 for _ in range(4)]
    output[1] = [0.5, 0.5, 0.5, 0.7, 0.8, 0.5, 0.5, 0.1, 0.1, -2.0, 0.5, 1.5, -0.4]
    output[2] = [0.0, 0.5, -0.5, 0.6, 1.2, 5.0, 5.0, 0.1, 0.1, 0.9, 0.0, 0.0, 0.25]
    network = told([output], monkeypatch)
    (found,) = network.predict([blank(100, 200)])
    # Cell 1 is the upper right one: center (0.75, 0.25), 0.25 x 0.49 of the image. The class of 1.5 counts as 1, those
    # below 0 and the confidence of -2 as 0. Cell 2 is the lower left one: its first box is clipped at the left edge,
    # and its confidence counts as 1; its second box lies outside the image.
    assert found["labels"].tolist() == [2, 1, 3]
    assert found["scores"].tolist() == pytest.approx([0.8, 0.4, 0.25])
    upper = [125.0, 0.5, 175.0, 49.5]
    wanted = torch.tensor([upper, upper, [0.0, 57.0, 25.0, 93.0]])
    torch.testing.assert_close(found["boxes"], wanted, rtol=0, atol=1e-3)


def test_boxes_of_one_class_suppress_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    output = [[0.0] * 13 for _ in range(4)]
    output[0] = [1.0, 0.5, 0.7, 0.6, 0.9, 0.9, 0.5, 0.7, 0.6, 0.5, 1.0, 0.0, 0.0]
    output[1] = [0.0, 0.5, 0.7, 0.6, 0.7, 0.5, 0.5, 0.1, 0.1, 0.0, 0.0, 1.0, 0.0]
    network = told([output], monkeypatch)
    (found,) = network.predict([blank(64, 64)])
    assert found["labels"].tolist() == [1, 2]
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7])
    network.keep = Keep(score_threshold=0.95, nms_threshold=0.5, detections_per_image=1)
    assert not len(network.predict([blank(64, 64)])[0]["labels"])


def convolutions(module: nn.Module) -> list[tuple[int, int, int]]:
    parts = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    return [(part.kernel_size[0], part.out_channels, part.stride[0]) for part in parts]


def test_the_default_network_is_that_of_figure_3() -> None:
    network = YOLO(21, hidden=8)  # the paper's 4,096 would be 200 million weights
    assert convolutions(network) == [
        *[(7, 64, 2), (3, 192, 1), (1, 128, 1), (3, 256, 1), (1, 256, 1), (3, 512, 1)],
        *[(1, 256, 1), (3, 512, 1)] * 4,
        *[(1, 512, 1), (3, 1024, 1)],
        *[(1, 512, 1), (3, 1024, 1)] * 2,
        *[(3, 1024, 1), (3, 1024, 2), (3, 1024, 1), (3, 1024, 1)],
    ]
    first, last = (part for part in network.head.modules() if isinstance(part, nn.Linear))
    assert (first.in_features, last.out_features) == (7 * 7 * 1024, 7 * 7 * 30)
    assert [stage.stride for stage in build_trunk("yolo", None, "train").stages] == [2, 4, 8, 16, 32]


def test_fast_yolo_has_nine_convolutions() -> None:
    network = YOLO(21, backbone="fast_yolo_bn", hidden=8, batch_norm=True, norm="train")
    assert [width for _, width, _ in convolutions(network)] == [16, 32, 64, 128, 256, 512, 1024, 1024, 1024]
    assert sum(isinstance(part, nn.BatchNorm2d) for part in network.modules()) == 9
    assert build_trunk("fast_yolo", None, "train").stages[-1].stride == 64


@pytest.mark.parametrize("head", ["fully_connected", "convolutional"])
def test_cells_are_ordered_by_rows(head: str) -> None:
    network = small(head=head).eval()
    images, _ = scene([0], [(70, 90)])
    found = network(network.batch(images).pixels)
    assert found.boxes.shape == (1, 9, 2, 4)
    assert found.classes.shape == (1, 9, 3)
    if head == "convolutional":
        seen = []
        hook = network.head.layers[0].register_forward_hook(lambda layer, inputs, output: seen.append(output))
        found = network(network.batch(images).pixels)
        hook.remove()
        assert torch.equal(found.classes[0, 3 * 1 + 2], seen[0][0, 10:, 1, 2])  # row 1, column 2
    # At first all boxes have about a quarter of the image's sides and lie in the middle of their cell.
    torch.testing.assert_close(found.boxes, torch.full((1, 9, 2, 4), 0.5), rtol=0, atol=0.4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, r"size=100, grid=3: .* stride 16, .* 2 new convolutions .* 16 x 3 = 48 times 1, 2, ... 2"),
        ({"size": 192}, "size=192, grid=3"),
        ({"size": 96, "neck_channels": []}, "size=96, grid=3"),
        ({"weights": "imagenet", "backbone": "yolo"}, "'yolo' has no imagenet weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**options)
