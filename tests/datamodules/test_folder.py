from pathlib import Path

import cv2
import numpy as np
import pytest
from lightning.pytorch import LightningModule, Trainer
from PIL import Image

from datamodules import ImageFolderDataModule
from lit_cv.errors import UserError
from tests.helpers.exports import sixteen_bits


def write_images(folder: Path) -> None:
    for number, name in enumerate(["b.png", "a.jpg", "c.JPG"]):
        cv2.imwrite(str(folder / name), np.full((10, 10 + number, 3), 50 * number, np.uint8))
    (folder / "notes.txt").write_text("not an image")


class Sizes(LightningModule):
    def predict_step(self, batch: tuple, batch_idx: int) -> list[tuple[int, int, set[str]]]:
        images, targets = batch
        return [(int(t["image_id"]), i.shape[2], set(t)) for i, t in zip(images, targets, strict=True)]


def predict(data: ImageFolderDataModule) -> list:
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False, barebones=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    return trainer.predict(Sizes(), datamodule=data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_come_sorted_with_their_ids(tmp_path: Path, num_workers: int) -> None:
    write_images(tmp_path)
    data = ImageFolderDataModule(str(tmp_path), batch_size=2, num_workers=num_workers)
    batches = predict(data)
    assert [path.name for path in data.paths] == ["a.jpg", "b.png", "c.JPG"]
    assert batches == [[(0, 11, {"image_id"}), (1, 10, {"image_id"})], [(2, 12, {"image_id"})]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_image_is_left_out_with_its_reason(tmp_path: Path, num_workers: int) -> None:
    write_images(tmp_path)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:40])
    data = ImageFolderDataModule(str(tmp_path), num_workers=num_workers)
    assert predict(data) == [[(0, 11, {"image_id"})], [(2, 12, {"image_id"})]]
    assert data.unreadable == {1: f"{tmp_path / 'b.png'} is truncated: its end is missing; fetch the file again."}


def test_subfolders_other_formats_and_a_single_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path)
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    (tmp_path / "c.JPG").rename(tmp_path / "inner" / "deep" / "without_suffix")
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "inner" / "x.avif")
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "inner" / "x.gif")
    data = ImageFolderDataModule(str(tmp_path))
    data.setup()
    names = ["a.jpg", "b.png", "inner/deep/without_suffix", "inner/x.avif", "inner/x.gif"]
    assert [str(path.relative_to(tmp_path)) for path in data.paths] == names
    assert capfd.readouterr().err == f"note: 1 files are no images, such as {tmp_path / 'notes.txt'}.\n"
    shapes = [batch[0][0].shape[1:] for batch in data.predict_dataloader()]
    assert shapes == [(10, 11), (10, 10), (10, 12), (8, 9), (8, 9)]
    single = ImageFolderDataModule(str(tmp_path / "b.png"))
    single.setup()
    assert single.paths == [tmp_path / "b.png"]


def test_a_folder_without_images_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no image"):
        ImageFolderDataModule(str(tmp_path)).setup()
    with pytest.raises(UserError, match="does not exist"):
        ImageFolderDataModule(str(tmp_path / "nowhere")).setup()
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match=r"does not exist: name an image .*; did you mean .*/pictures\?"):
        ImageFolderDataModule(str(tmp_path / "picures")).setup()


@pytest.mark.parametrize(("bits", "brightest"), [(None, 224), (12, 56)])
def test_pictures_of_16_bits_are_read_as_in_training(tmp_path: Path, bits: int | None, brightest: int) -> None:
    sixteen_bits(tmp_path / "a.png", 900)
    data = ImageFolderDataModule(str(tmp_path), bits=bits)
    data.setup()
    assert [int(batch[0][0].max()) for batch in data.predict_dataloader()] == [brightest]
