"""Turn lists of uint8 images into normalized batches on the device, and scale boxes with them."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from lit_cv.errors import UserError

Size = tuple[int, int]
AnyImage = Tensor | NDArray[np.uint8] | Image.Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageBatch(NamedTuple):
    """Resized images, padded with zeros at the right and the bottom to one size.

    Attributes:
        pixels: float32 (B, 3, H, W), normalized.
        sizes: Height and width of each resized image inside ``pixels``.
        original_sizes: Height and width of each input image.
    """

    pixels: Tensor
    sizes: list[Size]
    original_sizes: list[Size]

    def scales(self) -> Tensor:
        """Return the factors from the input images to the resized images, float32 (B, 4) as ``x, y, x, y``."""
        new, old = torch.tensor(self.sizes), torch.tensor(self.original_sizes)
        factors = (new / old).flip(1).repeat(1, 2)
        return factors.to(self.pixels.device, non_blocking=True)


class Objects(NamedTuple):
    """Targets of a batch, in pixels of the resized images.

    Attributes:
        boxes: float32 (B, G, 4), padded with zeros; G is the largest number of objects in an image, at least 1.
        labels: int64 (B, G), padded with 0.
        counts: Number of objects in each image.
    """

    boxes: Tensor
    labels: Tensor
    counts: list[int]

    def boxes_of(self, image: int) -> Tensor:
        """Return the boxes of one image without the padding, float32 (N, 4)."""
        return self.boxes[image, : self.counts[image]]


def size_of(pixels: Tensor) -> Size:
    """Return height and width of an image, a batch or a map (..., H, W).

    They are constants when ``torch.jit`` traces the call, and symbols when ``torch.export`` does and they may vary.
    """
    height, width = pixels.shape[-2:]
    return (height, width) if torch.compiler.is_exporting() else (int(height), int(width))


def as_tensor(image: AnyImage) -> Tensor:
    """Return an image as uint8 (3, H, W) RGB; tensors are returned as they are.

    Args:
        image: Also an array of NumPy, uint8 (H, W, 3) RGB or (H, W) gray, or an image of Pillow in any mode.

    Raises:
        UserError: It is something else, such as a path.
    """
    if isinstance(image, Tensor):
        return image
    if isinstance(image, Image.Image):
        image = np.array(image.convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise UserError(f"an image is a {type(image).__name__}; give lit_cv.image(path), a tensor or an array.")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise UserError(f"an image is an array of {image.dtype} {image.shape}; give uint8 RGB (H, W, 3).")
    pixels = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def fit_size(size: Size, min_size: int, max_size: int) -> Size:
    """Scale a size so that its shorter side is ``min_size``, or less if its longer side would exceed ``max_size``."""
    scale = min(min_size / min(size), max_size / max(size))
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def batch_images(
    images: list[Tensor],
    sizes: list[Size],
    device: torch.device,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    divisible: int = 32,
    channels_last: bool = False,
    at_least: Size = (0, 0),
) -> ImageBatch:
    """Resize (bilinear), normalize and pad images; images of one size are resized together.

    Args:
        images: uint8 (3, H, W) each.
        sizes: New height and width of each image.
        device: Device of the computation and the result.
        mean: Mean of each channel, for pixels in [0, 1].
        std: Standard deviation of each channel, for pixels in [0, 1].
        divisible: Height and width of the batch are rounded up to multiples of this number.
        channels_last: Whether the batch has the memory format ``torch.channels_last``.
        at_least: Minimum height and width of the batch.

    Raises:
        UserError: An image has another type or shape, such as floats in [0, 1].
    """
    for image in images:
        if image.dtype != torch.uint8 or image.shape[:-2] != (3,):
            raise UserError(
                f"an image is {image.dtype} {tuple(image.shape)}: networks take uint8 RGB images (3, H, W) with values "
                "of 0 to 255, and normalize them."
            )
    original_sizes = [size_of(image) for image in images]
    height, width = (-(-max(side) // divisible) * divisible for side in zip(*sizes, at_least, strict=True))
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    pixels = torch.empty((len(images), 3, height, width), device=device, memory_format=memory_format).zero_()
    groups: dict[tuple[Size, Size], list[int]] = defaultdict(list)
    for index, key in enumerate(zip(original_sizes, sizes, strict=True)):
        groups[key].append(index)
    offset = torch.tensor(mean).mul(255).view(3, 1, 1).to(device, non_blocking=True)
    scale = torch.tensor(std).mul(255).view(3, 1, 1).to(device, non_blocking=True)
    for (old, new), members in groups.items():
        group = torch.stack([images[index] for index in members]).to(device, non_blocking=True).float()
        if old != new:
            group = F.interpolate(group, size=new, mode="bilinear", align_corners=False)
        for index, image in zip(members, group.sub_(offset).div_(scale), strict=True):
            pixels[index, :, : new[0], : new[1]] = image
    return ImageBatch(pixels, sizes, original_sizes)


def batch_objects(targets: list[dict[str, Tensor]], batch: ImageBatch, num_classes: int) -> Objects:
    """Scale the targets of a batch like its images and pad them to common tensors.

    Raises:
        UserError: A label is not in 1..``num_classes`` - 1. Labels on a GPU are not checked, which would wait for it.
    """
    device = batch.pixels.device
    for labels in (target["labels"] for target in targets):
        if labels.device.type == "cpu" and len(labels) and not 0 < labels.min() <= labels.max() < num_classes:
            raise UserError(
                f"the labels of a target are {sorted(set(labels.tolist()))}, but num_classes: {num_classes} (with the "
                f"background, 0) allows 1 to {num_classes - 1}."
            )
    boxes, labels = (
        pad_sequence([target[key].to(device, non_blocking=True) for target in targets], batch_first=True)
        for key in ("boxes", "labels")
    )
    counts = [len(target["labels"]) for target in targets]
    if not any(counts):
        boxes, labels = boxes.new_zeros(len(targets), 1, 4), labels.new_zeros(len(targets), 1)
    return Objects(boxes * batch.scales()[:, None], labels, counts)
