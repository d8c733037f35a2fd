"""A plain folder of images to predict on."""

from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from datamodules.loading.dataset import to_tensor
from datamodules.loading.decode import read_image
from datamodules.loading.loader import PlainLoader, collate
from lit_cv.contract import Sample
from lit_cv.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class ImageFolder(Dataset[Sample]):
    """Maps an index to an image, rotated as its EXIF orientation says, and a target with only ``image_id``.

    Args:
        paths: The image files.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Return an image, uint8 (3, H, W) RGB, and a target: ``image_id`` int64 scalar, the index into ``paths``."""
        return to_tensor(read_image(self.paths[index], upright=True)), {"image_id": torch.tensor(index)}


class ImageFolderDataModule(LightningDataModule):
    """The images directly inside a folder, in the order of their names, for ``predict``.

    Args:
        root: The folder.
        batch_size: Images of a batch.
        num_workers: Loading processes; 0 loads in this process.

    Attributes:
        paths: The image files; ``image_id`` in a target is the index into them.
    """

    def __init__(self, root: str, batch_size: int = 1, num_workers: int = 0) -> None:
        super().__init__()
        self.root = Path(root)
        self.batch_size, self.num_workers = batch_size, num_workers
        self.paths: list[Path] = []

    def setup(self, stage: str | None = None) -> None:
        """List the images.

        Raises:
            UserError: If the folder does not exist or contains no image.
        """
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder: set root to a folder of images.")
        self.paths = sorted(path for path in self.root.iterdir() if path.suffix.lower() in EXTENSIONS)
        if not self.paths:
            raise UserError(f"{self.root} holds no image ({', '.join(EXTENSIONS)}): set root to a folder of images.")

    def predict_dataloader(self) -> PlainLoader:
        """Return the images in order; with W processes, each takes every W-th image."""
        if not self.paths:
            raise UserError(f"The images of {self.root} are not listed yet: call setup() before a loader is asked for.")
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return PlainLoader(
            ImageFolder(self.paths),
            batch_size=self.batch_size,
            sampler=range(rank, len(self.paths), world_size),
            num_workers=self.num_workers,
            collate_fn=collate,
        )
