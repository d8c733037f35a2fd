"""The DataLoader of every data set. It saves its position: a run killed mid-epoch resumes with the next batch."""

import gc
import math
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.loading.sampling import EvalBatches, TrainBatches
from lit_cv.contract import Batch, Sample
from lit_cv.errors import UserError


def collate(samples: list[Sample]) -> Batch:
    """Return lists of images and targets: images differ in size and stay uint8 until they are on the device."""
    return [image for image, _ in samples], [target for _, target in samples]


class _Parcel(NamedTuple):
    """A batch as workers send it: one tensor in shared memory instead of seven for each sample.

    Each tensor that is sent to another process costs a file descriptor and two system calls on both sides; for 16
    images that takes several times as long as copying them.
    """

    pixels: Tensor  # uint8, all images concatenated
    shapes: list[torch.Size]
    targets: list[dict[str, Any]]  # arrays and lists, pickled by value

    @classmethod
    def pack(cls, samples: list[Sample]) -> "_Parcel":
        images, targets = collate(samples)
        arrays = [
            {key: value.numpy() if isinstance(value, Tensor) else value for key, value in target.items()}
            for target in targets
        ]
        pixels = torch.cat([torch.empty(0, dtype=torch.uint8), *(image.reshape(-1) for image in images)])
        return cls(pixels, [image.shape for image in images], arrays)

    def unpack(self) -> Batch:
        parts = torch.split(self.pixels, [math.prod(shape) for shape in self.shapes])
        images = [part.view(tuple(shape)) for part, shape in zip(parts, self.shapes, strict=True)]
        return images, [
            {key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in target.items()}
            for target in self.targets
        ]


def _start_worker(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group; the main process still needs its workers
    gc.freeze()  # a full collection would write to every page of inherited objects, and so copy it
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


class PlainLoader(DataLoader[Sample]):
    """A DataLoader that re-raises a worker's ``UserError`` as its one sentence, without the worker's traceback."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except UserError as error:
            raise UserError(str(error).strip().rpartition("UserError: ")[2]) from None


class Loader(PlainLoader):
    """A DataLoader over (epoch, index) batches whose position is saved in Lightning's checkpoints.

    Lightning stores ``state_dict()`` of a stateful training loader with its loops and restores it before the resumed
    epoch. The position counts the batches that the training loop has received, not those that workers have prefetched.

    Args:
        dataset: Maps (epoch, index) to a sample.
        batches: The batch sampler.
        num_workers: Worker processes, which stay alive between epochs; 0 loads in this process.
        pin_memory: Copy batches to page-locked memory, for a faster transfer to a GPU.
        confirm: Called before a batch is handed out; it raises an error if the data has changed.
    """

    def __init__(
        self,
        dataset: Dataset[Sample],
        batches: TrainBatches | EvalBatches,
        num_workers: int,
        pin_memory: bool,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=batches,
            num_workers=num_workers,
            collate_fn=_Parcel.pack if num_workers else collate,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            worker_init_fn=_start_worker,
            # Its own generator: otherwise each pass takes a number from the global one, and a resume takes one more.
            generator=torch.Generator(),
        )
        self._confirm = confirm
        self._position = {"epoch": 0, "batch": 0}
        self._resume: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches that were handed out."""
        return dict(self._resume or self._position)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next pass continue after the saved position, if it belongs to the saved epoch."""
        self._resume = dict(state)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # The body of a generator runs at the first `next`: Lightning calls `iter` before it sets the epoch.
        batches: Any = self.batch_sampler
        epoch = batches.epoch if isinstance(batches, TrainBatches) else 0
        resume, self._resume = self._resume, None
        batches.start = resume["batch"] if resume and resume["epoch"] == epoch else 0
        self._position = {"epoch": epoch, "batch": batches.start}
        for batch in super().__iter__():
            self._position["batch"] += 1
            self._confirm()
            yield batch.unpack() if isinstance(batch, _Parcel) else batch
