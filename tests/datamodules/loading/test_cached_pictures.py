import multiprocessing
import os
import re
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import VOCDetectionDataModule
from datamodules.base import DataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.loading.loader import Loader
from lit_cv.errors import UserError
from tests.helpers import small_shapes

KINDS: dict[str, dict[str, Any]] = {
    "VOCDetectionDataModule": {"augmentation": "ssd"},
    "VOCLocalizationDataModule": {},
    "VOCSegmentationDataModule": {},
    "COCODetectionDataModule": {"augmentation": "ssd_zoom", "shuffle_targets": True},
    "COCOInstanceDataModule": {},
    "COCOKeypointDataModule": {"masks": True},
    "MPIIPoseDataModule": {"crop_size": 24},
    "LSPPoseDataModule": {"crop_size": 24},
    "VisualGenomeDataModule": {"min_count": 1},
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roots")


def opened(kind: str, root: Path, **options: Any) -> DataModule[Any]:
    return small_shapes.opened(kind, root, **KINDS[kind], **options)


def voc(root: Path, **options: Any) -> DataModule[Any]:
    return opened("VOCDetectionDataModule", root, **options)


def numbers(loader: Loader) -> Iterator[Any]:
    """Yield all images and target fields of two epochs."""
    for epoch in range(2):
        if hasattr(loader.batch_sampler, "set_epoch"):
            loader.batch_sampler.set_epoch(epoch)
        for images, targets in loader:
            yield from images
            for target in targets:
                yield from target.values()


def same(first: Loader, second: Loader) -> bool:
    pairs = list(zip(numbers(first), numbers(second), strict=True))
    assert len(pairs) > 5
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def cached(folder: Path) -> list[Path]:
    return sorted(folder.glob("decoded-*.rgb"))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_the_same_to_the_bit(kind: str, roots: Path, tmp_path: Path) -> None:
    plain, fast = (opened(kind, roots / kind, cache=cache) for cache in (None, "decoded"))
    assert fast.fingerprint == plain.fingerprint
    assert same(plain.train_dataloader(), fast.train_dataloader())
    assert same(plain.val_dataloader(), fast.val_dataloader())
    assert len(cached(tmp_path / "cache")) == 2


def test_workers_map_the_file_and_nobody_decodes_again(
    roots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(roots / "VOCDetectionDataModule", tmp_path / "root")
    alone = voc(root, cache="decoded")
    expected = list(numbers(alone.train_dataloader()))
    (file,) = cached(tmp_path / "cache")
    assert capsys.readouterr().err == f"note: 8 decoded pictures take 0.0 MB: {file}\n"
    for picture in root.rglob("*.jpg"):  # still there, of the same size and time, but no picture any more
        state = picture.stat()
        picture.write_bytes(bytes(state.st_size))
        os.utime(picture, ns=(state.st_atime_ns, state.st_mtime_ns))
    shared = voc(root, cache="decoded", num_workers=2)
    assert shared.train_dataloader().dataset.pictures.file == file
    found = list(numbers(shared.train_dataloader()))
    assert all(map(torch.equal, expected, found))
    assert capsys.readouterr().err == ""


def test_a_changed_picture_is_read_again_in_place_of_the_old_file(roots: Path, tmp_path: Path) -> None:
    root = shutil.copytree(roots / "VOCDetectionDataModule", tmp_path / "root")
    before = voc(root, cache="decoded").train_dataloader().dataset
    name = before.packed.name(0)
    cv2.imwrite(str(root / name), np.full((40, 40, 3), 200, np.uint8))
    after = voc(root, cache="decoded").train_dataloader().dataset
    assert (after.read(0) == 200).all()
    assert not (before.read(0) == 200).all()  # a run that has the old file open keeps it
    assert np.array_equal(before.read(1), after.read(1))
    assert len(cached(tmp_path / "cache")) == 1


def test_pictures_that_are_turned_upright_have_a_file_of_their_own(roots: Path, tmp_path: Path) -> None:
    root = shutil.copytree(roots / "VOCDetectionDataModule", tmp_path / "root")
    picture = root / voc(root).splits["train"].name(0)
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(picture) as image:
        image.copy().save(picture, exif=exif)
    for upright in ("apply", "ignore"):
        plain, fast = (voc(root, exif=upright, cache=cache).train_dataloader().dataset for cache in (None, "decoded"))
        assert np.array_equal(plain.read(0), fast.read(0)), upright
    assert len(cached(tmp_path / "cache")) == 2


def test_a_damaged_file_is_written_again(roots: Path, tmp_path: Path) -> None:
    root = roots / "VOCDetectionDataModule"
    dataset = voc(root, cache="decoded").train_dataloader().dataset
    expected = dataset.read(2)
    (file,) = cached(tmp_path / "cache")
    file.write_bytes(file.read_bytes()[:-5])
    assert np.array_equal(voc(root, cache="decoded").train_dataloader().dataset.read(2), expected)


def test_samples_may_be_changed_in_place(roots: Path) -> None:
    dataset = voc(roots / "VOCDetectionDataModule", cache="decoded").train_dataloader().dataset
    expected = dataset.read(0).copy()
    dataset.read(0)[:] = 0
    assert np.array_equal(dataset.read(0), expected)


def _digest(root: Path, queue: Any) -> None:
    dataset = voc(root, cache="decoded").train_dataloader().dataset
    queue.put([dataset.read(index).tobytes() for index in range(len(dataset))])


def test_two_processes_at_once_get_the_same_pictures(roots: Path, tmp_path: Path) -> None:
    root = roots / "VOCDetectionDataModule"
    plain = voc(root).train_dataloader().dataset
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    processes = [context.Process(target=_digest, args=(root, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    expected = [plain.read(index).tobytes() for index in range(len(plain))]
    assert results == [expected, expected]
    assert {path.suffix for path in (tmp_path / "cache").glob("decoded-*")} == {".rgb", ".lock"}


def _stuck(root: Path, queue: Any) -> None:
    decode, done = DetectionDataset.decode, []

    def slowly(self: DetectionDataset, index: int) -> Any:
        done.append(index)
        if len(done) > 3:
            queue.put("half")
            time.sleep(60)
        return decode(self, index)

    DetectionDataset.decode = slowly  # type: ignore[method-assign]
    voc(root, cache="decoded").train_dataloader()


def test_a_killed_process_leaves_nothing_that_is_read(roots: Path, tmp_path: Path) -> None:
    root = roots / "VOCDetectionDataModule"
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_stuck, args=(root, queue))
    process.start()
    assert queue.get() == "half"
    process.kill()
    process.join()
    assert cached(tmp_path / "cache") == []
    assert list((tmp_path / "cache").glob("decoded-*.part"))
    assert same(voc(root).train_dataloader(), voc(root, cache="decoded").train_dataloader())
    assert not list((tmp_path / "cache").glob("decoded-*.part"))


@pytest.fixture
def regions(roots: Path, tmp_path: Path) -> Path:
    """A copy of Visual Genome, whose packing does not open the pictures."""
    opened("VisualGenomeDataModule", roots / "VisualGenomeDataModule")
    return shutil.copytree(roots / "VisualGenomeDataModule", tmp_path / "regions")


def test_too_little_space_is_one_sentence_before_anything_is_written(regions: Path, tmp_path: Path) -> None:
    file = regions / "image_data.json"
    file.write_text(re.sub(r'("(?:width|height)": *)40', r"\g<1>9000000", file.read_text()))
    data = opened("VisualGenomeDataModule", regions, cache="decoded")
    with pytest.raises(UserError, match=r"needs \d+\.0 GB in .* free: make room, set LITCV_CACHE"):
        data.train_dataloader()
    assert not list((tmp_path / "cache").glob("decoded-*.part"))


def test_an_unusable_picture_is_named(regions: Path, tmp_path: Path) -> None:
    data = opened("VisualGenomeDataModule", regions, cache="decoded")
    picture = regions / data.splits["train"].name(1)
    picture.write_bytes(picture.read_bytes()[:-200])
    with pytest.raises(UserError, match=rf"{picture.name} is truncated"):
        data.train_dataloader()
    assert not list((tmp_path / "cache").glob("decoded-*.part"))


def _limited(root: Path, queue: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # of a disk that fills up while it is written
    data = VOCDetectionDataModule(str(root), batch_size=2, cache="decoded")
    data.setup()
    try:
        data.train_dataloader()
    except UserError as error:
        queue.put(str(error))


def test_a_write_that_fails_is_the_same_sentence(generated: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_limited, args=(generated, queue))
    process.start()
    process.join()
    assert queue.get().startswith(f"data.cache: decoded needs 0.1 MB in {tmp_path / 'cache'}, which has ")
    assert [path.suffix for path in (tmp_path / "cache").glob("decoded-*")] == [".lock"]
