"""The words and the names on pictures."""

import cv2
import numpy as np
import pytest
import torch

from lit_cv.commands.browse import default_output
from lit_cv.renderers import BoxRenderer, MaskRenderer, PhraseRenderer, TopBoxRenderer
from lit_cv.renderers.canvas import outline_boxes

NAMES = ["person", "bicycle"]


def found(scores):
    count = len(scores)
    boxes = torch.tensor([[50.0, 60, 200, 200]]).repeat(count, 1)
    return {"boxes": boxes, "labels": torch.ones(count, dtype=torch.int64), "scores": torch.tensor(scores)}


@pytest.mark.parametrize(
    ("renderer", "scores", "caption"),
    [
        (BoxRenderer(NAMES, 0.3), [0.9] * 12 + [0.1] * 243, "12 of 255 shown, >= 0.3"),
        (BoxRenderer(NAMES, 0.3), [0.1, 0.2], "nothing >= 0.3 (2 below)"),
        (BoxRenderer(NAMES, 0.3), [], "nothing >= 0.3 (0 below)"),
        (TopBoxRenderer(NAMES), [0.1, 0.2], "first of 2 boxes"),
        (PhraseRenderer(0.5, most=3), [0.9] * 7, "3 of 7 shown, >= 0.5"),
        (MaskRenderer(NAMES), [], "predictions"),
    ],
)
def test_a_caption_counts_what_is_shown(renderer, scores, caption):
    assert renderer.caption({**found(scores), "phrases": ["a"] * len(scores)}) == caption


def test_a_written_picture_has_a_caption_above_it(tmp_path):
    image = torch.full((3, 400, 500), 128, dtype=torch.uint8)
    heights = {}
    for name in ("a", "a_very_long_name" * 20):
        BoxRenderer(NAMES, 0.3).write(tmp_path, name[:30], image, found([0.1]))
        picture = cv2.imread(str(tmp_path / f"{name[:30]}.png"))
        heights[name] = picture.shape
        assert (picture[:22] < 100).any()
        assert (picture[:22] == 255).mean() > 0.7
        assert (picture[22:] == 128).all()  # nothing else is drawn
    assert set(heights.values()) == {(422, 500, 3)}


@pytest.mark.parametrize("count", [2, 10, 60])
def test_no_name_covers_another(count):
    """A picture shows only the plates of the names for boxes of one pixel."""
    random = np.random.default_rng(count)
    corners = random.integers(0, (640, 480), (count, 2))
    corners[: count // 2] = (300, 200)  # a pile
    boxes = torch.from_numpy(np.hstack([corners, corners + 1])).float()
    colors = [(10 + number % 200, 255 - number % 7, number // 2) for number in range(count)]
    picture, alone = (np.full((480, 640, 3), 255, np.uint8) for _ in range(2))
    outline_boxes(picture, boxes, ["bicycle"] * count, colors, range(count))
    outline_boxes(alone, torch.tensor([[300.0, 200, 301, 201]]), ["bicycle"], colors[:1], [0])
    least = (alone == colors[0]).all(axis=2).sum() - 16  # without the box
    areas = [int((picture == color).all(axis=2).sum()) for color in colors]
    named = [area for area in areas if area > 16]
    assert min(named) >= least > 500
    assert len(named) >= min(count, 40)


def test_the_hue_of_a_mask_is_that_of_the_legend():
    """A red image must not turn a green mask brown."""
    image = torch.zeros(3, 480, 640, dtype=torch.uint8)
    image[0] = 200
    mask = torch.zeros(480, 640, dtype=torch.uint8)
    mask[100:300, 100:300] = 2  # green in VOC
    picture = MaskRenderer(NAMES).draw(image, {"mask": mask})
    red, green, blue = picture[200, 200].tolist()
    assert red == blue < green
    assert picture[50, 50].tolist() == [200, 0, 0]
    assert (picture[480:] == (0, 128, 0)).all(axis=2).any()


def test_pages_of_different_samples_do_not_overwrite_each_other(tmp_path):
    config = tmp_path / "voc" / "ssd.yaml"
    plain = default_output(config, [], "train", 0)
    assert str(plain) == "browse/voc/ssd-train.html"
    others = [
        default_output(config, [], "val", 0),
        default_output(config, [], "train", 1),
        default_output(config, ["--data.batch_size=2"], "train", 0),
        default_output(config, ["--data.batch_size=3"], "train", 0),
        default_output(tmp_path / "coco" / "ssd.yaml", [], "train", 0),
    ]
    assert len({plain, *others}) == 6
