"""The base of all packed data sets: a sample is read by (epoch, index)."""

from abc import abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.augmentation.checks import Misfit
from datamodules.loading.cached_pictures import CachedPictures
from datamodules.loading.decode import Reading, check_size, read_image
from datamodules.loading.packed import PackedImages
from datamodules.loading.sampling import Key, sample_seed
from lit_cv.contract import Sample
from lit_cv.errors import UserError

T = TypeVar("T", bound=PackedImages)
A = TypeVar("A")


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Return an image, uint8 (H, W, 3), as a contiguous tensor, uint8 (3, H, W).

    Raises:
        UserError: If the image is anything else.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"An image is {image.dtype} {image.shape} after its augmentation: make it uint8 (H, W, 3).")
    planes = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    cv2.split(image, list(planes))  # several times faster than a transposing copy
    return torch.from_numpy(planes)


class BlackPictures:
    """Black pictures of given sizes, in the place of decoded ones.

    Args:
        sizes: int32 (N, 2), width and height of each picture in pixels.
    """

    def __init__(self, sizes: NDArray[np.int32]) -> None:
        self.sizes = sizes

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return a picture, uint8 (H, W, 3)."""
        width, height = self.sizes[index].tolist()
        return np.zeros((height, width, 3), dtype=np.uint8)


class PackedDataset(Dataset[Sample], Generic[T, A]):
    """Base of the data sets: maps (epoch, index), or an index in epoch 0, to a sample of a packed split.

    A subclass overrides :meth:`sample`.

    Args:
        root: Folder that the names in ``packed`` are relative to.
        packed: The annotations of all samples.
        augmentation: Random changes of a sample; None for none.
        seed: Determines the augmentation, together with epoch and index, see :func:`sample_seed`.
        partners: int64 (N,); sample i gets the target of sample ``partners[i]``. None: its own.

    Attributes:
        pictures: The decoded pictures; None decodes the files.
        reading: How the files are decoded.
        reduced: int32 (N, 2), width and height that images are reduced to, see :meth:`reduce`; None: their own.
    """

    def __init__(
        self,
        root: Path,
        packed: T,
        augmentation: A | None = None,
        seed: int = 0,
        partners: NDArray[np.int64] | None = None,
    ) -> None:
        self.root, self.packed, self.augmentation = root, packed, augmentation
        self.seed, self.partners = seed, partners
        self.pictures: CachedPictures | BlackPictures | None = None
        self.reading = Reading()
        self.reduced: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, key: Key | int) -> Sample:
        """Return a sample, see :meth:`sample`; the error of an augmentation gets the name of the image."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is not within the {len(self)} samples")
        try:
            return self.sample((epoch, index))
        except Misfit as error:
            raise UserError(f"{self.root / self.packed.name(index)}: {error}") from None

    @abstractmethod
    def sample(self, key: Key) -> Sample:
        """Return the sample of (epoch, index)."""

    def reduce(self, max_size: int) -> None:
        """Reduce images, and with them their targets, so that no side is longer than ``max_size`` pixels."""
        sizes = self.packed.sizes
        scales = np.minimum(1, max_size / sizes.max(axis=1, keepdims=True))
        self.reduced = np.maximum(1, np.rint(sizes * scales)).astype(np.int32)

    @property
    def sizes(self) -> NDArray[np.int32]:
        """Width and height of the images as they are read, int32 (N, 2)."""
        return self.packed.sizes if self.reduced is None else self.reduced

    def scale(self, index: int) -> NDArray[np.float64] | None:
        """Return the factors by which width and height of an image are reduced, (2,); None if they are not."""
        if self.reduced is None or (self.reduced[index] == self.packed.sizes[index]).all():
            return None
        factors: NDArray[np.float64] = self.reduced[index] / self.packed.sizes[index]
        return factors

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return the image of a sample, uint8 (H, W, 3) RGB; see :meth:`decode`."""
        return self.decode(index) if self.pictures is None else self.pictures[index]

    def decode(self, index: int) -> NDArray[np.uint8]:
        """Decode the file of a sample's image, uint8 (H, W, 3) RGB, and reduce it.

        Raises:
            UserError: If the file cannot be read, or its size is not the annotated one.
        """
        path = self.root / self.packed.name(index)
        image = read_image(path, self.reading.upright, self.reading.bits)
        width, height = self.packed.sizes[index].tolist()
        check_size(path, (image.shape[1], image.shape[0]), (width, height), self.reading.upright)
        if self.scale(index) is not None:
            image = np.asarray(cv2.resize(image, self.sizes[index].tolist(), interpolation=cv2.INTER_AREA), np.uint8)
        return image

    def owner(self, index: int) -> int:
        """Return the sample whose target sample ``index`` gets."""
        return index if self.partners is None else int(self.partners[index])

    def random_seed(self, key: Key) -> int:
        """Return the seed of a sample's augmentation, in [0, 2**32)."""
        return sample_seed(self.seed, *key)
