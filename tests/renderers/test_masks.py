import json
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb
from PIL import Image

from lit_cv.errors import UserError
from lit_cv.ops.palette import voc_colors
from lit_cv.renderers import MaskRenderer
from lit_cv.renderers.canvas import side_by_side

NAMES = ("cat", "dog", "horse")
HEIGHT, WIDTH = 120, 160
DOG = (slice(20, 80), slice(30, 90))
GRAY = 100


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a gray image; a dog, void above it and background elsewhere."""
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[10:20, 30:90] = 255
    mask[DOG] = 2
    return torch.full((3, HEIGHT, WIDTH), GRAY, dtype=torch.uint8), mask


def test_the_colors_are_those_of_the_development_kit(real_data: Path) -> None:
    colors = voc_colors()
    assert [colors[label].tolist() for label in (0, 1, 15, 20, 255)] == [
        [0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
    with Image.open(real_data / "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png") as official:
        assert official.getpalette() == colors.reshape(-1).tolist()


def test_masks_are_tinted_outlined_and_named() -> None:
    image, mask = scene()
    before = image.clone()
    picture = MaskRenderer(NAMES).draw(image, {"mask": mask})
    assert torch.equal(image, before)
    zoom = picture.shape[1] // WIDTH
    assert zoom >= 2
    dog = voc_colors()[2].astype(float)

    def at(y: float, x: float) -> list[int]:
        return picture[int(y * zoom), int(x * zoom)].tolist()

    assert at(100, 120) == [GRAY] * 3  # background
    assert at(50, 60) == pytest.approx(0.45 * GRAY + 0.55 * dog, abs=1)
    assert at(79.9, 60) == at(50, 30) == dog.tolist()  # the contour lies inside
    assert at(80, 60) == at(50, 29.9) == [GRAY] * 3
    stripes = picture[10 * zoom : 20 * zoom, 40 * zoom : 80 * zoom]
    assert np.unique(stripes).tolist() == [110, 225]
    legend = picture[HEIGHT * zoom :]
    assert (legend == dog).all(axis=2).sum() > 100
    assert (legend == voc_colors()[1]).all(axis=2).sum() == 0  # no cat here
    assert (legend == 110).all(axis=2).any()  # void


def test_two_masks_of_one_image_fit_side_by_side() -> None:
    for size, classes in (((HEIGHT, WIDTH), 3), ((500, 60), 20), ((60, 500), 150)):
        renderer = MaskRenderer([f"class {label}" for label in range(1, classes + 1)])
        image = torch.zeros(3, *size, dtype=torch.uint8)
        nothing = torch.zeros(*size, dtype=torch.uint8)
        many = (torch.arange(size[0] * size[1]) % (classes + 1)).to(torch.uint8).view(size)
        pair = [renderer.draw(image, {"mask": mask}) for mask in (nothing, many)]
        assert pair[0].shape == pair[1].shape
        assert not np.array_equal(*pair)
        side_by_side(pair, ["a", "b"])
        assert pair[0].shape[0] <= size[0] * max(1, round(480 / max(size))) + 100  # long legends are truncated


def test_a_prediction_is_described_and_written_as_indices(tmp_path: Path) -> None:
    image, mask = scene()
    mask[mask == 255] = 0
    row = MaskRenderer(NAMES).write(tmp_path / "new", "a", image, {"mask": mask})
    dog = 60 * 60 / (HEIGHT * WIDTH)
    assert row == {"mask": "a_mask.png", "share": {"background": pytest.approx(1 - dog), "dog": pytest.approx(dog)}}
    assert list(row["share"]) == ["background", "dog"]
    json.dumps(row)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "a_mask.png"]
    with Image.open(tmp_path / "new" / "a_mask.png") as written:
        assert written.mode == "P"
        assert np.array_equal(np.asarray(written), mask.numpy())
        assert written.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the picture"):
        MaskRenderer(NAMES).write(tmp_path / "file", "a", image, {"mask": mask})


def test_wandb_takes_the_masks() -> None:
    image, mask = scene()
    media = MaskRenderer(NAMES).media(image, {"mask": mask}, {"mask": torch.zeros_like(mask)})
    assert media["masks"].keys() == {"ground_truth", "predictions"}
    truth = media["masks"]["ground_truth"]
    assert truth["class_labels"] == {0: "background", 1: "cat", 2: "dog", 3: "horse", 255: "void"}
    assert np.array_equal(truth["mask_data"], mask.numpy())
    wandb.Image(image.permute(1, 2, 0).numpy(), masks=media["masks"])  # validates the masks
