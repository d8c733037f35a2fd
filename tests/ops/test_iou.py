import numpy as np
import torch

from lit_cv.ops import boxes
from lit_cv.ops.iou import pairwise_iou


def test_the_overlap_is_that_of_tensors() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (30, 2))
    both = np.concatenate([corners, corners + rng.uniform(1, 40, (30, 2))], axis=1)
    expected = boxes.pairwise_iou(torch.from_numpy(both[:20]), torch.from_numpy(both[5:]))
    assert np.allclose(pairwise_iou(both[:20], both[5:]), expected.numpy(), rtol=1e-12, atol=0)


def test_boxes_without_area_overlap_nothing() -> None:
    flawed = np.array([[1.0, 1, 1, 5], [4, 4, 2, 2], [0, 0, 9, 9]])
    assert pairwise_iou(flawed, flawed).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert pairwise_iou(flawed[:0], flawed).shape == (0, 3)
