"""Pictures that are not stored upright: what training, predict and doctor say of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules import (
    LSPPoseDataModule,
    VOCDetectionDataModule,
    VOCSegmentationDataModule,
    YOLODetectionDataModule,
)
from datamodules.doctor import examine
from datamodules.loading.decode import check_size, read_image
from datamodules.loading.orientation import orientation, turned_images
from datamodules.pose.generated import write_lsp
from datamodules.voc.generated import write_voc
from lit_cv.errors import UserError
from tests.datamodules.yolo.small_yolo import write as write_yolo
from tests.helpers.small_shapes import SETTINGS


def turn(file: Path, value: int) -> None:
    """Store an image as a camera does that was turned: other pixels, and the orientation that turns them back."""
    exif = Image.Exif()
    exif[0x0112] = value
    with Image.open(file) as image:
        image.load()
        image.save(file, quality=95, exif=exif)


@pytest.mark.parametrize("value", range(1, 9))
def test_the_orientation_is_that_of_the_file(tmp_path: Path, value: int) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (40, 30)).save(file)
    assert orientation(file) == 1
    turn(file, value)
    assert orientation(file) == value
    upright = read_image(file, upright=True).shape[:2]
    assert read_image(file).shape[:2] == (30, 40)
    assert upright == ((40, 30) if value >= 5 else (30, 40))


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe1\x00\x08Exif"])
def test_an_unreadable_file_counts_as_upright(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    assert orientation(file) == orientation(tmp_path / "none.jpg") == 1


@pytest.mark.parametrize(("value", "message"), [(6, "upright .EXIF orientation 6."), (3, "restore"), (1, "restore")])
def test_the_advice_about_a_size_is_true(tmp_path: Path, value: int, message: str) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (40, 30)).save(file)
    turn(file, value)
    with pytest.raises(UserError, match=message):
        check_size(file, (40, 30), (30, 40))
    with pytest.raises(UserError, match="restore the original image"):
        check_size(file, (40, 30), (50, 40))


@pytest.mark.parametrize("value", [3, 6])
def test_a_run_says_it_and_doctor_lists_it(
    voc_root: Path, open_data: Callable[..., VOCDetectionDataModule], value: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(voc_root)
    assert capsys.readouterr().err == ""
    assert not [defect for defect in examine(data).defects if defect.kind == "image not upright"]
    for index in (2, 5):
        turn(voc_root / data.splits["train"].name(index), value)
    file = voc_root / data.splits["train"].name(2)
    data = open_data(voc_root)
    told = capsys.readouterr().err
    assert f"note: 2 of 10 training images that were examined are not stored upright (EXIF orientation {value}" in told
    assert f"of {file}, ...)" in told
    listed = [defect for defect in examine(data).defects if defect.kind == "image not upright"]
    assert [defect.file for defect in listed] == [file, voc_root / data.splits["train"].name(5)]
    assert f"EXIF orientation {value}" in listed[0].what


def test_a_turned_picture_still_counts_as_a_leak(
    voc_root: Path, open_data: Callable[..., VOCDetectionDataModule]
) -> None:
    data = open_data(voc_root)
    train, val = (voc_root / data.splits[split].name(0) for split in ("train", "val"))
    turn(train, 3)
    shutil.copy(train, val)
    kinds = {defect.kind for defect in examine(data).defects}
    assert {"image not upright", "leak"} <= kinds


def test_of_many_images_some_are_examined(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(700)]
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "0.jpg")
    turn(tmp_path / "0.jpg", 8)
    for name in names[1:]:
        shutil.copy(tmp_path / "0.jpg", tmp_path / name)
    (sentence,) = turned_images(tmp_path, names + names)
    assert sentence.startswith("234 of 234 training images that were examined")
    assert turned_images(tmp_path, []) == []


def lay_on_side(file: Path) -> None:
    """Store the pixels of a picture turned, with the orientation that turns them back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(file) as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.save(file, quality=95, exif=exif)


def flatten(root: Path) -> None:
    """Make generated pictures and masks wider than high."""
    for file in (*root.rglob("*.jpg"), *root.rglob("*.png")):
        with Image.open(file) as image:
            cropped = image.crop((0, 0, 64, 48))
        cropped.save(file)
    for file in root.rglob("*.xml"):
        file.write_text(file.read_text().replace("<height>64<", "<height>48<"))


FOLDERS = {"annotations": "VOCdevkit/VOC2012/Annotations", "images": "VOCdevkit/VOC2012/JPEGImages"}
KINDS: dict[str, tuple[Callable[..., object], Callable[..., Any], dict[str, Any]]] = {
    "voc": (write_voc, VOCDetectionDataModule, {"exif": "apply", "augmentation": "none"}),
    "own voc": (write_voc, VOCDetectionDataModule, {"augmentation": "none", **FOLDERS}),
    "masks": (write_voc, VOCSegmentationDataModule, {"exif": "apply", "augmentation": "none"}),
    "yolo": (lambda root, _: write_yolo(root), YOLODetectionDataModule, {"augmentation": "none"}),
    "lsp": (write_lsp, LSPPoseDataModule, {"exif": "apply"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_upright_pictures_have_their_targets_in_every_format(tmp_path: Path, kind: str) -> None:
    write, make, options = KINDS[kind]
    root = tmp_path / "data"
    write(root, SETTINGS)
    if kind != "yolo":
        flatten(root)

    def samples() -> list[Any]:
        data = make(str(root), batch_size=1, **options)
        data.prepare_data()
        data.setup()
        assert not [defect for defect in examine(data).defects if defect.kind == "image of another size"]
        return [data.val_dataloader().dataset[0, index] for index in range(len(data.splits["val"]))]

    before = samples()
    pictures = [file for file in root.rglob("*.*") if file.suffix in (".jpg", ".png") and "Segm" not in str(file)]
    for file in pictures:
        lay_on_side(file)
    for (old, target), (new, found) in zip(before, samples(), strict=True):
        assert old.shape == new.shape
        assert np.abs(old.numpy().astype(int) - new.numpy()).mean() < 8
        for key in target if isinstance(target, dict) else (...,):
            np.testing.assert_array_equal(np.asarray(target[key]), np.asarray(found[key]))
