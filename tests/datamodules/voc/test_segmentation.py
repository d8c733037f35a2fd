import hashlib
import os
import shutil
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from datamodules import VOCSegmentationDataModule
from datamodules.loading.download import Archive
from datamodules.loading.loader import Loader
from datamodules.voc import segmentation as voc_segmentation
from datamodules.voc.archives import SBD_ARCHIVE
from datamodules.voc.packed_masks import runs_of
from lit_cv.errors import UserError
from tests.helpers.small_shapes import SETTINGS

Sample = tuple[torch.Tensor, dict[str, torch.Tensor]]
FRAMED = [A.RandomCrop(40, 48, p=1), A.RandomRotate90(p=1), A.HorizontalFlip(p=0.5)]


def opened(root: Path, **options: object) -> VOCSegmentationDataModule:
    data = VOCSegmentationDataModule(str(root), **{"batch_size": 2, "augmentation": "none", **options})
    data.prepare_data()
    data.setup()
    return data


def year(root: Path) -> Path:
    return root / "VOCdevkit" / "VOC2012"


def names(root: Path, split: str = "train") -> list[str]:
    return (year(root) / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()


def picture_file(root: Path) -> Path:
    return year(root) / "JPEGImages" / f"{names(root)[0]}.jpg"


def mask_file(root: Path) -> Path:
    return year(root) / "SegmentationClass" / f"{names(root)[0]}.png"


def read_indices(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.mode == "P"
        return np.array(image)


def write_indices(file: Path, mask: np.ndarray) -> None:
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette((np.arange(768) % 256).astype(np.uint8).tobytes())  # the colors are ignored
    image.save(file)


def change_pixel(file: Path, value: int) -> None:
    mask = read_indices(file)
    mask[-1, -1] = value
    write_indices(file, mask)


def all_void(file: Path) -> None:
    write_indices(file, np.full((64, 64), 255))


def damage_pixels(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"IDAT", b"IDAX"))


def samples(data: VOCSegmentationDataModule, epoch: int = 0) -> list[Sample]:
    dataset = data.train_dataloader().dataset
    return [dataset[epoch, index] for index in range(len(dataset))]


def write_sbd(root: Path, lists: dict[str, list[str]], mask: np.ndarray) -> Path:
    folder = root / "benchmark_RELEASE" / "dataset"
    for name in ("img", "cls"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, members in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(members) + "\n")
        for member in members:
            Image.new("RGB", mask.shape[::-1]).save(folder / "img" / f"{member}.jpg")
            savemat(folder / "cls" / f"{member}.mat", {"GTcls": {"Segmentation": mask, "CategoriesPresent": [1]}})
    return folder


def test_masks_are_the_indices_of_the_palette(generated: Path) -> None:
    found = samples(opened(generated))
    values = set()
    for index, (name, (image, target)) in enumerate(zip(names(generated), found, strict=True)):
        expected = read_indices(year(generated) / "SegmentationClass" / f"{name}.png")
        assert np.array_equal(target["mask"].numpy(), expected)
        assert (image.dtype, target["mask"].dtype) == (torch.uint8, torch.uint8)
        assert image.shape == (3, *target["mask"].shape)
        assert target["image_id"] == index
        values |= set(np.unique(expected).tolist())
    assert values == {0, 1, 2, 3, 255}


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (13, 11)])
def test_runs_are_every_pixel_in_order(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    for same in (mask, np.zeros_like(mask)):
        values, lengths = runs_of(same)
        assert (values[1:] != values[:-1]).all()
        assert np.array_equal(np.repeat(values, lengths).reshape(shape), same)


@pytest.mark.parametrize("augmentation", ["flip", FRAMED])
def test_image_and_mask_move_together(voc_root: Path, augmentation: object) -> None:
    for name in names(voc_root):
        mask = read_indices(year(voc_root) / "SegmentationClass" / f"{name}.png")
        gray = np.where(mask == 255, 255, 60 * mask).astype(np.uint8)
        Image.fromarray(gray).save(year(voc_root) / "JPEGImages" / f"{name}.jpg", quality=100)
    data, plain = opened(voc_root, augmentation=augmentation), samples(opened(voc_root))
    changed = 0
    for (image, target), (_, own) in zip(samples(data) + samples(data, epoch=1), plain * 2, strict=True):
        shown = np.round(image[0].numpy() / 60)
        known = target["mask"].numpy() != 255
        assert (shown == target["mask"].numpy())[known].mean() > 0.99
        changed += not torch.equal(target["mask"], own["mask"])
    assert changed >= (4 if augmentation == "flip" else 20)
    assert changed < 20 or augmentation != "flip"


def test_workers_change_nothing_and_epochs_differ(generated: Path) -> None:
    def epoch_of(loader: Loader, epoch: int) -> dict[int, bytes]:
        loader.batch_sampler.set_epoch(epoch)
        rows = [row for batch in loader for row in zip(*batch, strict=True)]
        return {
            int(target["image_id"]): hashlib.sha256(image.numpy().tobytes() + target["mask"].numpy().tobytes()).digest()
            for image, target in rows
        }

    alone, workers = (
        opened(generated, augmentation=FRAMED, seed=3, num_workers=count).train_dataloader() for count in (0, 2)
    )
    for epoch in (0, 1, 0):
        assert epoch_of(alone, epoch) == epoch_of(workers, epoch)
    first, second = epoch_of(alone, 0), epoch_of(alone, 1)
    assert set(first) == set(second) == set(range(10))
    assert sum(first[index] == second[index] for index in first) <= 1


def test_shuffled_masks_are_those_of_another_image_in_this_ones_size(voc_root: Path) -> None:
    Image.new("RGB", (128, 32)).save(picture_file(voc_root))
    write_indices(mask_file(voc_root), np.arange(32 * 128).reshape(32, 128) // 32 % 4)
    control = opened(voc_root, seed=3, shuffle_targets=True)
    partners = control.train_dataloader().dataset.partners
    plain = samples(opened(voc_root))
    for index, (image, target) in enumerate(samples(control)):
        height, width = image.shape[1:]
        other = plain[int(partners[index])][1]["mask"].numpy()
        rows = (np.arange(height) + 0.5) * other.shape[0] // height
        columns = (np.arange(width) + 0.5) * other.shape[1] // width
        assert partners[index] != index
        assert torch.equal(image, plain[index][0])
        assert np.array_equal(target["mask"].numpy(), other[rows.astype(int)[:, None], columns.astype(int)])
        assert target["image_id"] == index
    evaluated = [target["mask"] for _, targets in control.val_dataloader() for target in targets]
    assert np.array_equal(
        evaluated[0].numpy(), read_indices(year(voc_root) / "SegmentationClass" / f"{names(voc_root, 'val')[0]}.png")
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: shutil.rmtree(r / "VOCdevkit"), "holds no VOCdevkit"),
        (lambda r: shutil.rmtree(year(r) / "ImageSets/Segmentation"), r"train\.txt is missing"),
        (lambda r: mask_file(r).unlink(), r"\.png is missing: restore it, or take it out of the image list"),
        (lambda r: os.truncate(mask_file(r), 200), r"\.png is truncated"),
        (lambda r: mask_file(r).write_bytes(b"text"), r"\.png is not a readable mask"),
        (lambda r: damage_pixels(mask_file(r)), r"\.png is not a readable mask"),
        (lambda r: Image.new("RGB", (64, 64), "red").save(mask_file(r)), r"\.png has colors such as \(255, 0, 0\) "),
        (lambda r: write_indices(mask_file(r), np.ones((60, 64))), r"\.png is 64x60 pixels but .*\.jpg is 64x64"),
        (lambda r: change_pixel(mask_file(r), 4), r"\.png has the index 4, but classes are 0\.\.3"),
        (lambda r: change_pixel(mask_file(r), 254), r"\.png has the index 254, but"),
        (lambda r: picture_file(r).unlink(), r"\.jpg is missing"),
        (lambda r: os.truncate(picture_file(r), 900), r"\.jpg is truncated"),
        (lambda r: picture_file(r).write_bytes(b"text"), r"\.jpg is not a readable image"),
        (lambda r: [all_void(f) for f in year(r).glob("SegmentationClass/*")], "All masks of train_sets are void"),
    ],
)  # fmt: skip
def test_bad_data_stops_before_training_with_one_sentence(
    voc_root: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(voc_root)
    with pytest.raises(UserError, match=message) as raised:
        VOCSegmentationDataModule(str(voc_root)).prepare_data()
    assert "\n" not in str(raised.value)
    assert str(voc_root) in str(raised.value)


def test_an_image_that_is_all_void_is_left_out_and_counted(voc_root: Path) -> None:
    all_void(mask_file(voc_root))
    data = opened(voc_root)
    assert data.counts == {"train/images": 9, "train/void": 1, "val/images": 5, "val/void": 0}
    assert data.splits["train"].name(0).endswith(f"{names(voc_root)[1]}.jpg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_sets": ["2012_trainval"]}, r"train_sets and val_sets share 10 images \(.*\.jpg, \.\.\.\)"),
        ({"test_sets": ["2012_train"]}, "train_sets and test_sets share 10 images"),
        (
            {"train_sets": ["2012_train", "2012_trainval"]},
            r"trainval\.txt names shape_000000 a second time in train_sets: remove it",
        ),
        ({"train_sets": ["sbd_train"]}, r"train\.txt of SBD is missing: choose another set \(none there\)"),
        ({"augmentation": "ssd"}, "augmentation='ssd' is not for masks"),
    ],
)
def test_unusable_options_stop_before_training(generated: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        VOCSegmentationDataModule(str(generated), **options).prepare_data()


def test_photographs_are_known_by_their_name_in_either_release(voc_root: Path) -> None:
    for release, name in (("VOC2007", "000032"), ("VOC2012", "2007_000032")):
        folder = voc_root / "VOCdevkit" / release
        (folder / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Segmentation" / "one.txt").write_text(name)
        for kind, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
            (folder / kind).mkdir(exist_ok=True)
            shutil.copy(year(voc_root) / kind / f"shape_000000.{ending}", folder / kind / f"{name}.{ending}")
    with pytest.raises(UserError, match="share 1 images"):
        opened(voc_root, train_sets=["2007_one"], val_sets=["2012_one"])
    with pytest.raises(
        UserError,
        match=r"VOC2012/JPEGImages/2007_000032\.jpg is the photograph 2007_000032, which train_sets already name",
    ):
        opened(voc_root, train_sets=["2007_one", "2012_one"])


def test_fingerprint_covers_the_masks_and_nothing_of_their_files(voc_root: Path, tmp_path: Path) -> None:
    before = opened(voc_root).fingerprint
    moved = shutil.copytree(voc_root, tmp_path / "moved")
    write_indices(mask_file(moved), read_indices(mask_file(moved)))  # another palette, another compression
    assert mask_file(moved).read_bytes() != mask_file(voc_root).read_bytes()
    assert opened(moved, seed=9).fingerprint == before
    change_pixel(mask_file(moved), 1 + int(read_indices(mask_file(moved))[-1, -1] == 1))
    assert opened(moved).fingerprint != before


def test_sbd_adds_its_masks_behind_those_of_voc(voc_root: Path) -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:, 7:] = 3
    write_sbd(voc_root, {"train_noval": ["2008_000009", "2008_000002"]}, mask)
    data = opened(voc_root, train_sets=["sbd_train_noval", "2012_train"])
    assert data.counts["train/images"] == 12
    assert data.splits["train"].name(10) == "benchmark_RELEASE/dataset/img/2008_000009.jpg"
    image, target = samples(data)[11]
    assert np.array_equal(target["mask"].numpy(), mask)
    assert image.shape == (3, 20, 30)
    alone = opened(voc_root, train_sets=["sbd_train_noval"], val_sets=["2012_val"])
    assert alone.counts["train/images"] == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "cls/2008_000009.mat").unlink(), r"2008_000009\.mat is missing"),
        (lambda f: os.truncate(f / "cls/2008_000009.mat", 150), r"2008_000009\.mat holds no GTcls\.Segmentation"),
        (lambda f: (f / "cls/2008_000009.mat").write_bytes(b""), r"2008_000009\.mat holds no GTcls\.Segmentation"),
        (lambda f: savemat(f / "cls/2008_000009.mat", {"other": 1}), r"2008_000009\.mat holds no GTcls\.Segmentation"),
        (lambda f: savemat(f / "cls/2008_000009.mat", {"GTcls": {"Segmentation": np.ones((20, 30))}}), "is float64"),
        (lambda f: (f / "img/2008_000009.jpg").unlink(), r"2008_000009\.jpg is missing"),
        (lambda f: (f / "train.txt").write_text(" "), r"train\.txt is empty"),
        (
            lambda f: (f / "train.txt").write_text("2008_000009\n2008_000009"),
            r"img/2008_000009\.jpg is the photograph 2008_000009, which train_sets already name",
        ),
        (
            lambda f: (f / "train.txt").write_text("shape_000000"),
            r"img/shape_000000\.jpg is the photograph shape_000000, which train_sets already name",
        ),
        (lambda f: (f / "train.txt").write_text("shape_000010"), "train_sets and val_sets share 1 images"),
    ],
)
def test_bad_sbd_stops_with_one_sentence(voc_root: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = write_sbd(voc_root, {"train": ["2008_000009"]}, np.zeros((20, 30), np.uint8))
    damage(folder)
    with pytest.raises(UserError, match=message) as raised:
        opened(voc_root, train_sets=["2012_train", "sbd_train"])
    assert "\n" not in str(raised.value)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


def test_sbd_is_downloaded_and_checked(voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sbd(tmp_path / "official", {"train": ["2008_000009"]}, np.ones((20, 30), np.uint8))
    (tmp_path / "mirror").mkdir()
    served = tmp_path / "mirror" / SBD_ARCHIVE.name
    with tarfile.open(served, "w:gz") as file:
        file.add(tmp_path / "official" / "benchmark_RELEASE", "benchmark_RELEASE")
    known = Archive(SBD_ARCHIVE.name, SBD_ARCHIVE.folders, hashlib.md5(served.read_bytes()).hexdigest())
    monkeypatch.setattr(voc_segmentation, "SBD_ARCHIVE", known)
    monkeypatch.setattr("datamodules.voc.source.fetch_voc", lambda root, sets: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "mirror")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("LITCV_MIRRORS", f"http://127.0.0.1:{server.server_address[1]}")
        data = opened(voc_root, source="download", train_sets=["sbd_train"], batch_size=1)
        server.shutdown()
        thread.join()
    assert data.counts["train/images"] == 1


def test_generated_source_writes_missing_files(tmp_path: Path) -> None:
    data = opened(tmp_path / "new", source="shapes", shapes=SETTINGS)
    assert data.counts["train/images"] == 10
    assert data.class_names == ("circle", "square", "triangle")


def test_real_masks_are_read_as_they_are(real_data: Path) -> None:
    data = opened(real_data, test_sets=["2012_val"])
    assert [data.counts[f"{split}/images"] for split in ("train", "val", "test")] == [165, 168, 168]
    assert [data.counts[f"{split}/void"] for split in ("train", "val")] == [0, 0]
    folder = real_data / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    for index, name in enumerate(names(real_data, "val")):
        assert np.array_equal(data.splits["val"].mask(index), read_indices(folder / f"{name}.png"))
    with pytest.raises(UserError, match="share 1 images"):  # 000039 and 2007_000039
        opened(real_data, train_sets=["2012_trainval"], val_sets=["2007_val"])
