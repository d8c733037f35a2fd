"""The frames of a video to predict on."""

from pathlib import Path

import cv2
import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import Dataset

from datamodules.folder import FolderLoader
from datamodules.loading.dataset import to_tensor
from lit_cv.contract import Sample
from lit_cv.errors import UserError
from lit_cv.runs.prose import say

EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mjpeg", ".ogv", ".ts")


class VideoFrames(Dataset[Sample]):
    """Maps the number of a frame, from 0, to the frame and a target with only ``image_id``, the same number.

    Frames are decoded one after the other; a frame before the last one that was asked for starts again.

    Args:
        path: The video.
        count: Number of frames.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self._capture: cv2.VideoCapture | None = None
        self._next = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Sample:
        """Return a frame, uint8 (3, H, W) RGB, upright as the file says, and its target.

        Raises:
            UserError: The frame cannot be decoded.
        """
        return to_tensor(self._frame(number)), {"image_id": torch.tensor(number)}

    def __getitems__(self, numbers: list[int]) -> list[Sample]:
        """Return the samples of a batch."""
        return [self[number] for number in numbers]

    def _frame(self, number: int) -> NDArray[np.uint8]:
        if self._capture is None or number < self._next:
            self._capture, self._next = cv2.VideoCapture(str(self.path)), 0
        while self._next < number and self._capture.grab():
            self._next += 1
        found, frame = self._capture.read()
        if not found or self._next != number:
            raise UserError(f"{self.path}: frame {number} cannot be decoded; the file has changed or is damaged.")
        self._next += 1
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class VideoDataModule(LightningDataModule):
    """The frames of a video that OpenCV can decode, for ``predict``.

    Args:
        root: The file.
        batch_size: Frames of a batch.
        bits: Has no effect; frames have 8 bits.

    Attributes:
        paths: ``<video>/<number of the frame>``, which is no file; ``image_id`` in a target is the number, from 0.
        unreadable: Empty.
    """

    def __init__(self, root: str, batch_size: int = 1, bits: int | None = None) -> None:
        super().__init__()
        self.root, self.batch_size = Path(root), batch_size
        self.paths: list[Path] = []
        self.unreadable: dict[int, str] = {}

    def setup(self, stage: str | None = None) -> None:
        """Count the frames, which the header of a file often tells wrongly.

        Raises:
            UserError: No frame can be decoded.
        """
        capture, count = cv2.VideoCapture(str(self.root)), 0
        told = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        while capture.grab():
            count += 1
        if not count:
            raise UserError(f"{self.root}: OpenCV decodes no frame of it; give a video or an image in another format.")
        if count < told:
            say(f"note: {self.root}: {count} of {told} frames can be decoded.", error=True)
        self.paths = [self.root / f"{number:06d}" for number in range(count)]

    def image_names(self, split: str) -> list[str]:
        """Return ``<video>/<number>`` for each frame."""
        return [f"{self.root.name}/{path.name}" for path in self.paths]

    def predict_dataloader(self) -> FolderLoader:
        """Return the frames in order; with W processes, each takes every W-th frame."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        frames = VideoFrames(self.root, len(self.paths))
        numbers = range(rank, len(frames), world_size)
        return FolderLoader(frames, self.unreadable, batch_size=self.batch_size, sampler=numbers)


def is_video(path: Path) -> bool:
    """Tell whether a file is a video, by its suffix."""
    return path.is_file() and path.suffix.lower() in EXTENSIONS
