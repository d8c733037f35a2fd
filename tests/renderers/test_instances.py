import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb
from pycocotools import mask as official_masks
from torch import Tensor

from lit_cv.ops.mask_runs import encode_masks
from lit_cv.renderers import InstanceRenderer, PhraseRenderer, PoseRenderer
from lit_cv.renderers.canvas import strong_color

HEIGHT, WIDTH, GRAY = 480, 640, 100  # large enough to be drawn pixel by pixel
FIRST, SECOND = strong_color(0), strong_color(1)
POSES = PoseRenderer(["head", "left_hand", "right_hand"], [(0, 1), (0, 2)], [(2, 1)])


def image() -> Tensor:
    return torch.full((3, HEIGHT, WIDTH), GRAY, dtype=torch.uint8)


def instances(scores: list[float] | None = None) -> dict[str, Any]:
    """Return two cats: the right half of the first one's mask lies under the second one's."""
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)
    masks[0, 100:200, 100:300] = 1
    masks[1, 100:200, 200:400] = 1
    runs = encode_masks(masks)
    found: dict[str, Any] = {
        "boxes": torch.tensor([[90.0, 90, 310, 210], [190, 90, 410, 210]]),
        "labels": torch.tensor([2, 2]),
        "mask_runs": runs.runs,
        "mask_lengths": runs.lengths,
        "mask_size": torch.tensor(runs.size),
    }
    return found if scores is None else found | {"scores": torch.tensor(scores)}


def mixed(color: Any) -> list[Any]:
    return [pytest.approx(0.45 * GRAY + 0.55 * part, abs=1) for part in color]


def test_masks_are_tinted_in_their_own_color_and_outlined() -> None:
    pixels = image()
    renderer = InstanceRenderer(("dog", "cat"), 0.5)
    picture = renderer.draw(pixels, instances())
    assert torch.equal(pixels, image())
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture[150, 150].tolist() == mixed(FIRST)
    assert picture[150, 350].tolist() == mixed(SECOND)
    assert picture[150, 100].tolist() == list(FIRST)  # the contour lies inside
    assert picture[150, 99].tolist() == [GRAY] * 3
    assert picture[150, 90].tolist() == list(FIRST)  # the box
    assert picture[150, 412].tolist() == [GRAY] * 3
    assert picture[82, 95].tolist() != [GRAY] * 3  # the name
    runs = encode_masks(torch.ones(2, 48, 64))
    small = {"boxes": torch.zeros(2, 4), "labels": torch.tensor([1, 1]), "mask_size": torch.tensor([48, 64])}
    small |= {"mask_runs": runs.runs, "mask_lengths": runs.lengths}
    assert renderer.draw(image()[:, :48, :64], small).shape == (8 * 48, 8 * 64, 3)


def test_low_scores_are_left_out_and_the_highest_is_on_top() -> None:
    renderer = InstanceRenderer(("dog", "cat"), 0.5)
    one = renderer.draw(image(), instances([0.4, 0.9]))
    assert one[150, 150].tolist() == [GRAY] * 3
    assert one[150, 350].tolist() == mixed(FIRST)  # the only instance
    best_first = renderer.draw(image(), instances([0.9, 0.8]))
    best_last = renderer.draw(image(), instances([0.8, 0.9]))
    assert best_first[150, 298].tolist() == list(FIRST)  # its contour
    assert best_last[150, 298].tolist() != list(FIRST)
    nothing = renderer.draw(image(), instances([0.1, 0.1]))
    assert (nothing == GRAY).all()


def test_instances_are_described_with_rle_that_pycocotools_reads(tmp_path: Path) -> None:
    found = instances([0.9, 0.3]) | {"keypoints": torch.arange(18.0).view(2, 3, 3)}
    row = InstanceRenderer(("dog", "cat"), 0.5, POSES).write(tmp_path, "a", image(), found)
    assert (tmp_path / "a.png").exists()
    row = json.loads(json.dumps(row))
    assert row["labels"] == ["cat"]
    assert row["keypoints"] == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]
    with warnings.catch_warnings(action="ignore"):  # NumPy 2 warns about code in pycocotools
        mask = official_masks.decode(row["masks"])
    assert mask.shape == (HEIGHT, WIDTH, 1)
    assert mask[100:200, 100:300].all()
    assert mask.sum() == 100 * 200


def test_skeletons_lie_over_the_masks() -> None:
    points = torch.tensor([[[500.0, 300, 2], [550, 300, 2], [500, 350, 0]]] * 2)
    target = instances() | {"keypoints": points}
    picture = InstanceRenderer(("dog", "cat"), 0.5, POSES).draw(image(), target)
    assert picture[300, 525].tolist() != [GRAY] * 3  # the limb to the left hand
    assert picture[325, 500].tolist() == [GRAY] * 3  # the right hand is not labeled
    found = instances([0.9, 0.9]) | {"keypoints": points - torch.tensor([0, 0, 7.0])}  # scores may be negative
    picture = InstanceRenderer(("dog", "cat"), 0.5, POSES).draw(image(), found)
    assert picture[325, 500].tolist() != [GRAY] * 3
    without = InstanceRenderer(("dog", "cat"), 0.5, POSES).draw(image(), instances())
    assert without[300, 525].tolist() == [GRAY] * 3


def test_wandb_takes_boxes_and_masks() -> None:
    renderer = InstanceRenderer(("dog", "cat"), 0.5)
    media = renderer.media(image(), instances(), instances([0.9, 0.3]))
    truth, found = media["masks"]["ground_truth"], media["masks"]["predictions"]
    assert truth["class_labels"] == {0: "background", 1: "cat", 2: "cat"}
    assert [truth["mask_data"][150, x] for x in (50, 150, 250, 350)] == [0, 1, 2, 2]
    assert np.unique(found["mask_data"]).tolist() == [0, 1]
    assert [len(media["boxes"][name]["box_data"]) for name in ("ground_truth", "predictions")] == [2, 1]
    wandb.Image(image().permute(1, 2, 0).numpy(), **media)  # validates the layers
    keypoints = {"keypoints": torch.zeros(2, 3, 3)}
    assert renderer.media(image(), instances() | keypoints, instances([0.9, 0.3]) | keypoints) == {}
    boxes = {name: instances()[name] for name in ("boxes", "labels")}
    assert renderer.media(image(), boxes, boxes | {"scores": torch.ones(2)}).keys() == {"boxes"}


def regions(count: int, scores: bool) -> dict[str, Any]:
    tops = 40.0 * torch.arange(count)
    boxes = torch.stack([tops * 0 + 100, tops + 20, tops * 0 + 200, tops + 36], dim=1)
    found: dict[str, Any] = {"boxes": boxes, "phrases": [f"a red thing number {k}" for k in range(count)]}
    return found | {"scores": torch.linspace(0.1, 0.9, count)} if scores else found


def test_phrases_are_drawn_on_the_boxes_with_the_highest_scores() -> None:
    renderer = PhraseRenderer(0.3, most=3)
    target = renderer.draw(image(), regions(9, scores=False))
    found = renderer.draw(image(), regions(9, scores=True))
    drawn = [[bool((picture[40 * k + 28, 100] != GRAY).any()) for k in range(9)] for picture in (target, found)]
    assert drawn == [[True] * 3 + [False] * 6, [False] * 6 + [True] * 3]
    nothing = renderer.draw(image(), regions(0, scores=False))
    assert (nothing == GRAY).all()
    other = regions(9, scores=False)
    other["phrases"][0] = "something else"
    assert not np.array_equal(renderer.draw(image(), other), target)


def test_a_phrase_wider_than_the_image_is_truncated() -> None:
    renderer = PhraseRenderer(0.3)
    long = {"boxes": torch.tensor([[10.0, 100, 60, 200]]), "phrases": ["word " * 60]}
    longer = {**long, "phrases": ["word " * 70]}
    assert np.array_equal(renderer.draw(image(), long), renderer.draw(image(), longer))


def test_phrases_are_listed_and_logged() -> None:
    renderer = PhraseRenderer(0.45)
    row = renderer.describe(regions(3, scores=True))
    assert row["phrases"] == ["a red thing number 1", "a red thing number 2"]
    assert row["scores"] == pytest.approx([0.5, 0.9])
    media = renderer.media(image(), regions(2, scores=False), regions(3, scores=True))
    assert media["boxes"]["ground_truth"]["box_data"][1]["box_caption"] == "a red thing number 1"
    assert media["boxes"]["predictions"]["box_data"][0]["box_caption"] == "a red thing number 1 0.50"
    wandb.Image(image().permute(1, 2, 0).numpy(), **media)
