"""Plain image files to predict on."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import Dataset

from datamodules.loading.dataset import to_tensor
from datamodules.loading.decode import read_image
from datamodules.loading.loader import PlainLoader, collate
from lit_cv.contract import Batch, Sample
from lit_cv.errors import UserError
from lit_cv.runs.file_kinds import binary_kind
from lit_cv.runs.near import did_you_mean_path

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif")
Failure = tuple[int, str]
"""Index of an image that could not be read, and the reason."""


class ImageFolder(Dataset[Sample]):
    """Maps an index to an image, rotated as its EXIF orientation says, and a target with only ``image_id``.

    Args:
        paths: The image files.
        bits: Number of bits that images of 16 bits use, see :func:`datamodules.loading.depth.as_8_bits`.
    """

    def __init__(self, paths: list[Path], bits: int | None = None) -> None:
        self.paths, self.bits = paths, bits

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Return an image, uint8 (3, H, W) RGB, and a target: ``image_id`` int64 scalar, the index into ``paths``."""
        return to_tensor(read_image(self.paths[index], upright=True, bits=self.bits)), {"image_id": torch.tensor(index)}

    def __getitems__(self, indices: list[int]) -> list[Sample | Failure]:
        """Return the samples of a batch, with a ``Failure`` for each image that cannot be read."""
        return [self._sample_or_failure(index) for index in indices]

    def _sample_or_failure(self, index: int) -> Sample | Failure:
        try:
            return self[index]
        except UserError as error:
            return index, str(error)


class FolderLoader(PlainLoader):
    """A loader that leaves out the images that cannot be read.

    Args:
        data: The images.
        unreadable: Receives the reason for each image that was left out, by its index.
        options: Arguments of ``DataLoader``.
    """

    def __init__(self, data: Dataset[Sample], unreadable: dict[int, str], **options: Any) -> None:
        super().__init__(data, collate_fn=_divided, **options)
        self._unreadable = unreadable

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        items: Any = super().__iter__()
        for batch, failures in items:
            self._unreadable.update(failures)
            if batch[0]:
                yield batch


def _divided(items: list[Sample | Failure]) -> tuple[Batch, list[Failure]]:
    samples: list[Any] = [item for item in items if not isinstance(item[0], int)]
    failures: list[Any] = [item for item in items if isinstance(item[0], int)]
    return collate(samples), failures


class ImageFolderDataModule(LightningDataModule):
    """The images of a folder and its subfolders, in the order of their paths, or one image, for ``predict``.

    A file is an image if its suffix says so or if OpenCV recognizes its content. Other files are counted in a note.

    Args:
        root: The folder or the file.
        batch_size: Images of a batch.
        num_workers: Loading processes; 0 loads in this process.
        bits: Number of bits that pictures of 16 bits use, as in training; null: as many as each one needs.

    Attributes:
        paths: The image files; ``image_id`` in a target is the index into them.
        unreadable: Reasons for the images that could not be read so far, by ``image_id``. They are in no batch.
    """

    def __init__(self, root: str, batch_size: int = 1, num_workers: int = 0, bits: int | None = None) -> None:
        super().__init__()
        self.root, self.bits = Path(root), bits
        self.batch_size, self.num_workers = batch_size, num_workers
        self.paths: list[Path] = []
        self.unreadable: dict[int, str] = {}

    def setup(self, stage: str | None = None) -> None:
        """List the images.

        Raises:
            UserError: If the path does not exist or holds no image.
        """
        if not self.root.exists():
            near = did_you_mean_path(self.root) or "."
            raise UserError(f"{self.root} does not exist: name an image or a folder of images{near}")
        files = [self.root] if self.root.is_file() else sorted(path for path in self.root.rglob("*") if path.is_file())
        self.paths = [path for path in files if is_image(path)]
        if not self.paths:
            if kind := self.root.is_file() and binary_kind(self.root):
                raise UserError(f"{self.root}: {kind}; name an image or a folder of them.")
            raise UserError(f"{self.root} holds no image ({', '.join(EXTENSIONS)}): name an image or a folder of them.")
        others = sorted(set(files) - set(self.paths))
        if others:
            _note(f"note: {len(others)} files are no images, such as {others[0]}.")

    def image_names(self, split: str) -> list[str]:
        """Return the path of each image relative to the folder."""
        base = self.root.parent if self.root.is_file() else self.root
        return [path.relative_to(base).as_posix() for path in self.paths]

    def predict_dataloader(self) -> FolderLoader:
        """Return the images in order; with W processes, each takes every W-th image."""
        if not self.paths:
            raise UserError(f"The images of {self.root} are not listed yet: call setup() before a loader is asked for.")
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return FolderLoader(
            ImageFolder(self.paths, self.bits),
            self.unreadable,
            batch_size=self.batch_size,
            sampler=range(rank, len(self.paths), world_size),
            num_workers=self.num_workers,
        )


def is_image(path: Path) -> bool:
    """Tell whether a file is an image, by its suffix or by its content."""
    return path.suffix.lower() in EXTENSIONS or (os.access(path, os.R_OK) and cv2.haveImageReader(str(path)))


@rank_zero_only
def _note(text: str) -> None:
    print(text, file=sys.stderr)
