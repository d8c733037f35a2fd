"""A later start takes results of the last one: not with other files, nor past the first batch with edited ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datamodules import VOCDetectionDataModule, VOCSegmentationDataModule, YOLODetectionDataModule
from datamodules.base import DataModule
from datamodules.loading import remembered
from lit_cv.errors import UserError
from tests.commands.same_exports import EXPORTS, NUMBERS

FORMS: dict[str, Callable[[Path], DataModule]] = {
    "yolo": lambda root: YOLODetectionDataModule(str(root)),
    "yolo lists": lambda root: YOLODetectionDataModule(str(root)),
    "voc": lambda root: VOCDetectionDataModule(str(root), annotations="Annotations"),
    "masks": lambda root: VOCSegmentationDataModule(
        str(root), masks="masks", images="pictures", classes=["one", "two"]
    ),
}
BOXES = {"yolo": "train/labels", "yolo lists": "train/labels", "voc": "Annotations"}
LABELS = {**BOXES, "masks": "masks"}


def write(form: str, root: Path) -> None:
    """Write an export; no list names VOC's classes, so that labels tell them."""
    if form == "masks":
        write_masks(root)
    else:
        EXPORTS[form.removesuffix(" lists")](root)
    (root / "labelmap.txt").unlink(missing_ok=True)
    if form == "yolo lists":
        content = yaml.safe_load((root / "data.yaml").read_text("utf-8"))
        content |= {split: f"{split}.txt" for split in ("train", "val")}
        (root / "data.yaml").write_text(yaml.safe_dump(content), "utf-8")
        write_lists(root)


def write_lists(root: Path) -> None:
    for split, folder in (("train", "train"), ("val", "valid")):
        pictures = sorted((root / folder / "images").rglob("*.png"))
        (root / f"{split}.txt").write_text("".join(f"./{file.relative_to(root)}\n" for file in pictures))


def write_masks(root: Path) -> None:
    for folder in ("masks", "pictures"):
        (root / folder).mkdir(parents=True)
    for number in NUMBERS:
        Image.fromarray(np.full((4, 6), 1 + number % 2, dtype=np.uint8)).save(root / "masks" / f"shot {number:02d}.png")
        Image.new("RGB", (6, 4)).save(root / "pictures" / f"shot {number:02d}.jpg")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a data set into ``tmp_path / "data"``, whose folders count as unchanged at once."""
    write(request.param, tmp_path / "data")
    monkeypatch.setattr(remembered, "_SETTLED", 0)
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))
    form: str = request.param
    return form


def opened(form: str, root: Path) -> DataModule:
    data = FORMS[form](root / "data")
    data.prepare_data()
    data.setup()
    return data


def labels(form: str, root: Path) -> list[Path]:
    return sorted((root / "data" / LABELS[form]).iterdir())


def edited(file: Path) -> None:
    """Make the last object one of another class, in place and without another size of the file if that is possible."""
    folder = file.parent.stat()
    if file.suffix == ".png":
        with file.open("r+b") as opened_file:
            Image.fromarray(np.zeros((4, 6), dtype=np.uint8)).save(opened_file, "PNG")
        assert file.parent.stat().st_mtime_ns == folder.st_mtime_ns
        return
    text = file.read_text("utf-8")
    first, _, last = text.rpartition("no-helmet" if file.suffix == ".xml" else "\n2 ")
    file.write_text(f"{first}{'helmet-no' if file.suffix == '.xml' else chr(10) + '0 '}{last}", "utf-8")
    assert file.parent.stat().st_mtime_ns == folder.st_mtime_ns


def objects(data: DataModule) -> dict[str, list[int]]:
    return {
        split: (packed.values if hasattr(packed, "values") else packed.labels).tolist()
        for split, packed in data.splits.items()
    }


def test_a_label_that_is_edited_in_place_is_noticed_before_a_batch(form: str, tmp_path: Path) -> None:
    first = opened(form, tmp_path)
    assert len(list(first.train_dataloader())) == len(list(opened(form, tmp_path).train_dataloader()))
    edited(labels(form, tmp_path)[1])
    second = opened(form, tmp_path)
    assert objects(second) == objects(first)  # taken from the last start, so it has to be noticed:
    with pytest.raises(UserError, match=f"{labels(form, tmp_path)[1]} was edited after the last start"):
        next(iter(second.val_dataloader()))
    third = opened(form, tmp_path)
    assert objects(third) != objects(first)
    list(third.train_dataloader())


def remove(file: Path, root: Path) -> None:
    file.unlink()


def pair(file: Path, root: Path) -> tuple[Path, Path]:
    """Return a label file and its picture."""
    return file, next(path for path in root.rglob(f"{file.stem}.*") if path != file)


def rename(file: Path, root: Path) -> None:
    for old in pair(file, root):
        old.rename(old.with_stem("shot 99"))


def add_in_new_folder(file: Path, root: Path) -> None:
    for old in pair(file, root):
        (old.parent / "more").mkdir()
        shutil.copy(old, old.parent / "more" / f"new{old.suffix}")


@pytest.mark.parametrize("change", [remove, rename, add_in_new_folder])
def test_other_files_are_noticed_at_once(form: str, tmp_path: Path, change: Callable[[Path, Path], None]) -> None:
    first = opened(form, tmp_path)
    change(labels(form, tmp_path)[1], tmp_path / "data")
    if form == "yolo lists":
        write_lists(tmp_path / "data")
    second = opened(form, tmp_path)
    assert second.fingerprint != first.fingerprint
    second.remembered.confirm()
    third = opened(form, tmp_path)
    third.remembered.confirm()
    assert third.fingerprint == second.fingerprint


def test_a_folder_that_has_just_changed_is_not_trusted(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the resolution of a file system's clock a second change could leave no trace."""
    monkeypatch.undo()
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))
    first = opened(form, tmp_path)
    edited(labels(form, tmp_path)[1])
    assert objects(opened(form, tmp_path)) != objects(first)


def test_a_damaged_file_in_the_cache_is_written_again(form: str, tmp_path: Path) -> None:
    first = opened(form, tmp_path)
    kept = list((tmp_path / "cache").glob("start-*.npz"))
    assert kept
    for file in kept:
        file.write_bytes(b"PK")
    second = opened(form, tmp_path)
    assert second.fingerprint == first.fingerprint
    assert all(file.stat().st_size > 2 for file in kept)


def test_old_classes_are_not_mixed_with_new_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("voc", tmp_path / "data")
    monkeypatch.setattr(remembered, "_SETTLED", 0)
    opened("voc", tmp_path)
    edited(labels("voc", tmp_path)[1])

    def other() -> DataModule:
        data = VOCDetectionDataModule(str(tmp_path / "data"), annotations="Annotations", first_pixel=0)
        data.prepare_data()
        return data

    with pytest.raises(UserError, match=r"shot 01\.xml was edited after the last start"):
        other()
    assert "helmet-no" in other().class_names
