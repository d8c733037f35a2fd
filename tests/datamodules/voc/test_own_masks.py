"""Masks in folders of any names: indices, colors, CVAT's labelmap.txt, and one thing wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules import VOCSegmentationDataModule
from datamodules.splits import Split
from lit_cv.errors import UserError
from tests.datamodules.voc.test_own import names_of

MASK = np.repeat(np.array([[0, 1, 2, 2, 255, 0, 1, 1]], np.uint8), 4, axis=0)
COLORS = {0: (0, 0, 0), 1: (250, 50, 83), 2: (0, 0, 128), 255: (224, 224, 192)}
PALETTE = {"road": [250, 50, 83], "side walk": [0, 0, 128]}
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:250,50,83::\nside walk:0,0,128::\n"


def colored(mask: Any) -> Any:
    return np.stack([np.vectorize(lambda value, part=part: COLORS[value][part])(mask) for part in range(3)], axis=2)


def write(root: Path, masks: str = "masks", pictures: str = "pictures", ending: str = "", rgb: bool = False) -> Path:
    """Write three pictures of 8x4 pixels with their masks."""
    for number, name in enumerate(("a", "b b", "c.1")):
        for folder in (masks, pictures):
            (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 4), (80 * number, 0, 0)).save(root / pictures / f"{name}.jpg")
        mask = np.roll(MASK, number, axis=1)
        Image.fromarray(colored(mask).astype(np.uint8) if rgb else mask).save(root / masks / f"{name}{ending}.png")
    return root


def opened(root: Path, **options: Any) -> VOCSegmentationDataModule:
    data = VOCSegmentationDataModule(str(root), augmentation="none", **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ({}, {"masks": "masks", "images": "pictures", "classes": ["road", "side walk"]}),
        ({}, {"masks": "masks", "classes": "names.txt"}),
        ({"rgb": True}, {"masks": "masks", "palette": PALETTE}),
        ({"rgb": True}, {"masks": "masks"}),
        ({"rgb": True, "masks": "SegmentationClass", "pictures": "JPEGImages"}, {"masks": "SegmentationClass"}),
        ({"masks": "all", "pictures": "all", "ending": "_mask"}, {"images": "all", "mask_suffix": "_mask"}),
        ({"masks": ".", "pictures": ".", "ending": "-seg"}, {"masks": ".", "mask_suffix": "-seg.png"}),
        ({"masks": "m", "pictures": ".", "ending": "_L"}, {"masks": "m", "mask_suffix": "_L"}),
    ],
)
def test_masks_of_any_folder_are_read(tmp_path: Path, place: dict[str, Any], options: dict[str, Any]) -> None:
    """The palette of CVAT: docs.cvat.ai/docs/dataset_management/formats/format-smask."""
    write(tmp_path, **place)
    (tmp_path / "names.txt").write_text("road\nside walk\n")
    rgb = place.get("rgb", False)
    (tmp_path / ("labelmap.txt" if rgb else "classes.txt")).write_text(LABELMAP if rgb else "road\nside walk\n")
    data = opened(tmp_path, split=Split(val=0.34), **options)
    assert data.class_names == ("road", "side walk")
    names = sorted(names_of(data, "train") + names_of(data, "val"))
    assert [Path(name).name for name in names] == ["a.jpg", "b b.jpg", "c.1.jpg"]
    for split, packed in data.splits.items():
        for place_of, name in enumerate(names_of(data, split)):
            expected = np.roll(MASK, ["a", "b b", "c.1"].index(Path(name).stem), axis=1)
            assert packed.mask(place_of).tolist() == expected.tolist()


def test_lists_and_folders_name_the_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    (tmp_path / "masks/a.png").unlink()
    (tmp_path / "train.txt").write_text("b b\n")
    (tmp_path / "val.txt").write_text("c.1.jpg\n")
    lists = {"train": "train.txt", "val": "val.txt"}
    data = opened(tmp_path, masks="masks", lists=lists, classes=["x", "y"])
    assert names_of(data, "train") == ["pictures/b b.jpg"]
    assert names_of(data, "val") == ["pictures/c.1.jpg"]
    opened(tmp_path, masks={"train": "masks"}, classes=["x", "y"])
    assert "has 1 pictures without a mask, which are left out (a.jpg, ...)" in capsys.readouterr().err


def test_gray_values_may_be_given_a_class(tmp_path: Path) -> None:
    data = opened(write(tmp_path), masks={"train": "masks"}, classes=["x", "y", "z"], mask_values={255: 3})
    assert data.splits["train"].mask(0)[0].tolist() == [0, 1, 2, 2, 3, 0, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"masks": "masks"},
            "nothing lists the classes of the masks: set data.classes to the names of the values 1, 2",
        ),
        ({"masks": "masks", "classes": ["x"]}, r"a\.png has the index 2, but classes are 0\.\.1 .* in data\.classes"),
        (
            {"masks": "masks", "classes": ["x"], "mask_suffix": "_m"},
            "masks holds no mask whose name ends as mask_suffix",
        ),
        ({"masks": "rgb", "classes": ["x", "y"]}, r"a\.png has colors such as \(\d+, \d+, \d+\).*with data\.palette"),
        (
            {"masks": "rgb", "palette": {"x": [250, 50, 83]}},
            r"a\.png has the color \[0, 0, 128\] \(8 pixels\), which the palette of the classes lacks: name",
        ),
        ({"masks": "rgb", "palette": {"x": [250, 50]}}, r"data\.palette: x has the color \[250, 50\], not red, green"),
        ({"masks": "rgb", "palette": {"x": [1, 1, 1], "y": [1, 1, 1]}}, r"gives the color \[1, 1, 1\] to two classes"),
        (
            {"masks": "rgb", "palette": {"x": [1, 1, 1]}, "classes": ["y"]},
            r"palette names 'x', which is no class \(y\)",
        ),
        ({"masks": "rgb", "palette": PALETTE, "mask_values": {255: 1}}, "mask_values is for masks of indices"),
        ({"palette": PALETTE}, r"data\.palette is a setting of your own folders: name these with data\.masks"),
        (
            {"masks": "rgb", "classes": "labelmap.txt"},
            r"labelmap\.txt:1 is 'road', not `label:color_rgb:parts:actions`",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write(tmp_path)
    write(tmp_path, masks="rgb", rgb=True)
    if options.get("classes") == "labelmap.txt":
        (tmp_path / "labelmap.txt").write_text("road\n")
    images = {"images": "pictures"} if "masks" in options else {}
    masks = {"masks": {"train": options["masks"]}} if "masks" in options else {}
    with pytest.raises(UserError, match=message) as raised:
        opened(tmp_path, **(options | masks | images))
    assert "\n" not in str(raised.value)
