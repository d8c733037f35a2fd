"""ComponentFCN: what it finds in given scores, against SciPy's labels and against numbers by hand."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models import ComponentFCN
from lit_cv.models.segmentation.components import painted
from lit_cv.ops.mask_runs import MaskRuns, decode_masks

SIZE = 64


class Told(ComponentFCN):
    """Takes the scores of each pixel from its color: red and green are the logits of the two classes."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(pixels[:, :1]), pixels[:, :2] * 2), dim=1)


def found_in(image: Tensor, **options: int) -> tuple[dict[str, Tensor], Tensor]:
    network = Told(3, backbone="tiny", decoder="symmetric", **options)
    (found,) = network.predict([image])
    masks = MaskRuns(found["mask_runs"], found["mask_lengths"], tuple(found["mask_size"].tolist()))
    return found, decode_masks(masks)


def test_what_is_connected_is_one_object_and_what_is_cut_is_two() -> None:
    image = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    image[0, 4:12, 4:12] = 255
    image[0, 12:20, 12:20] = 255  # touches the first one at a corner: one object
    image[0, 30:36, 4:40] = 255
    image[0, 30:36, 20:24], image[1, 26:40, 20:24] = 0, 255  # of the other class, cuts it in two
    image[0, 50:53, 50:55] = 255  # 15 pixels
    found, masks = found_in(image)
    boxes = {(label, *box) for label, box in zip(found["labels"].tolist(), found["boxes"].tolist(), strict=True)}
    assert boxes == {(1, 4, 4, 20, 20), (1, 4, 30, 20, 36), (1, 24, 30, 40, 36), (2, 20, 26, 24, 40)}
    assert sorted(masks.sum(dim=(1, 2)).tolist()) == [56, 96, 96, 128]
    assert len(found_in(image, smallest=15)[0]["boxes"]) == 5
    assert len(found_in(torch.zeros_like(image))[0]["boxes"]) == 0
    with pytest.raises(UserError, match="smallest: 0 makes no sense"):
        ComponentFCN(3, backbone="tiny", smallest=0)


def test_objects_are_scipys_components_and_scores_their_mean_probability() -> None:
    noise = np.random.default_rng(1).normal(size=(3, SIZE, SIZE))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 3, 3)) * 1500
    image = torch.from_numpy(np.clip(smooth, 0, 255).astype(np.uint8))
    network = Told(3, backbone="tiny", decoder="symmetric")
    with torch.no_grad():
        shares = network(network.batch([image]).pixels)[0].softmax(dim=0).numpy()
    expected = []
    for label in (1, 2):
        places, count = scipy.ndimage.label(shares.argmax(axis=0) == label, np.ones((3, 3)))
        areas = [(places == number).sum() for number in range(1, count + 1)]
        expected += [
            (shares[label][places == number].mean(), label, area) for number, area in enumerate(areas, 1) if area > 15
        ]
    found, masks = found_in(image)
    expected.sort(reverse=True)
    assert len(expected) > 5
    assert found["labels"].tolist() == [label for _, label, _ in expected]
    assert masks.sum(dim=(1, 2)).tolist() == [area for _, _, area in expected]
    np.testing.assert_allclose(found["scores"], [score for score, _, _ in expected], rtol=1e-5)


def test_of_overlapping_masks_the_smaller_one_counts_in_the_loss() -> None:
    masks = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
    masks[0, 10:20, 10:20], masks[1, :30, :30] = 1, 1
    target = {"masks": masks, "labels": torch.tensor([2, 1]), "boxes": torch.zeros(2, 4)}
    classes = painted(target)
    assert [int((classes == label).sum()) for label in range(3)] == [SIZE**2 - 900, 800, 100]
    image = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    image[0][masks[1].bool()], image[1][masks[0].bool()] = 255, 255
    network = Told(3, backbone="tiny", decoder="symmetric")
    logits = network(network.batch([image]).pixels)
    expected = torch.nn.functional.cross_entropy(logits, classes[None].long())
    torch.testing.assert_close(network.losses([image], [target])["cross_entropy"], expected)
    assert painted({"masks": masks[:0], "labels": torch.zeros(0, dtype=torch.int64)}).sum() == 0
