import numpy as np
import pytest
import torch

from lit_cv.renderers import PoseRenderer
from lit_cv.renderers.poses import LEFT, MIDDLE, RIGHT

NAMES = ("right_hand", "neck", "left_hand", "left_foot")
RENDERER = PoseRenderer(NAMES, [(0, 1), (1, 2), (2, 3)], [(0, 2)])
POINTS = [[20.0, 30.0], [50.0, 30.0], [80.0, 30.0], [80.0, 70.0]]
IMAGE = torch.zeros(3, 100, 120, dtype=torch.uint8)


def target(*flags: float) -> dict[str, torch.Tensor]:
    return {"keypoints": torch.tensor([[[*point, flag] for point, flag in zip(POINTS, flags, strict=True)]])}


def color(picture: np.ndarray, x: float, y: float) -> tuple[int, ...]:
    zoom = picture.shape[0] / IMAGE.shape[1]
    return tuple(picture[int((y + 0.5) * zoom), int((x + 0.5) * zoom)].tolist())


def test_joints_and_limbs_have_the_color_of_their_side() -> None:
    picture = RENDERER.draw(IMAGE, target(2, 2, 2, 2))
    assert picture.shape == (400, 480, 3)
    assert [color(picture, *point) for point in POINTS] == [RIGHT, MIDDLE, LEFT, MIDDLE]
    assert (color(picture, 35, 30), color(picture, 65, 30)) == (RIGHT, LEFT)
    assert not any(color(picture, 35, 50))
    assert not IMAGE.any()


def test_hidden_joints_are_rings_and_unlabeled_ones_are_omitted() -> None:
    alone = PoseRenderer(NAMES, [], [(0, 2)])
    picture = alone.draw(IMAGE, target(1, 0, 2, 0))
    assert not any(color(picture, *POINTS[0]))
    zoom = 4
    x, y = (int((side + 0.5) * zoom) for side in POINTS[0])
    assert RIGHT in {tuple(pixel) for pixel in picture[y, x - 8 : x + 8].tolist()}
    assert color(picture, *POINTS[2]) == LEFT
    around = picture[100:140, 180:220]  # around the neck
    assert not around.any()
    assert not any(color(RENDERER.draw(IMAGE, target(2, 2, 1, 2)), *POINTS[2]))  # not filled by its limbs
    with_limbs = RENDERER.draw(IMAGE, target(2, 0, 2, 2))
    assert not any(color(with_limbs, 35, 30))
    assert color(with_limbs, 80, 50) == LEFT


def test_predictions_have_no_flags_and_may_lie_anywhere() -> None:
    found = {"keypoints": torch.tensor([POINTS])}
    assert np.array_equal(RENDERER.draw(IMAGE, found), RENDERER.draw(IMAGE, target(2, 2, 2, 2)))
    far = {"keypoints": torch.tensor([[[-1e9, 1e9], [50, 30], [1e12, 0], [80, 70]]])}
    assert RENDERER.draw(IMAGE, far).any()


def test_a_prediction_is_described_by_name() -> None:
    found = {"keypoints": torch.tensor([POINTS]) + 0.25}
    joints = RENDERER.describe(found)["joints"]
    assert list(joints) == list(NAMES)
    assert joints["left_foot"] == pytest.approx([80.25, 70.25])
    assert RENDERER.media(IMAGE, target(2, 2, 2, 2), found) == {}
