"""Base class of all networks for semantic segmentation."""

from abc import ABC
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_cv.models.images import ImageBatch, Size, size_of
from lit_cv.models.network import OnePassNetwork, Target, known_size
from lit_cv.models.resizing import FittedImages
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.traced.resize import traced_resize

VOID = 255


class Segmentation(TypedDict):
    """The segmentation of one image.

    Attributes:
        mask: uint8 (H, W), the class of each pixel of the input image: 0 background, 1..C.
    """

    mask: Tensor


class Segmenter(FittedImages, OnePassNetwork, ABC):
    """A network that classifies pixels. ``predict`` returns a ``Segmentation`` for each image.

    ``forward`` maps normalized pixels (B, 3, H, W), H and W multiples of ``divisible``, to logits float32
    (B, num_classes, h, w) at any resolution.

    A target has ``mask`` uint8 (H, W) of the size of its image: 0 background, 1..C, 255 void. Void pixels are excluded
    from the loss.

    On GPUs the backward pass of the bilinear resizing of scores is not deterministic (atomic additions).

    Attributes:
        num_classes: Number of classes with the background.
        upsampling_stride: Factor of the last upsampling inside the network, or 1 if there is none. It is the period of
            the pattern that ``val/checkerboard`` measures.

    Args:
        num_classes: Number of classes with the background; null in an experiment takes it from the data.
        options: Arguments of ``FittedImages``.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("cross_entropy",)
    upsampling_stride = 1

    def __init__(self, num_classes: int | None, *, min_size: int | None = None, **options: Any) -> None:
        super().__init__(min_size=min_size, **options)
        self.num_classes = known_size("num_classes", num_classes)

    def losses_of(self, outputs: Tensor, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the cross-entropy of logits, averaged over all labeled pixels of the batch."""
        return {
            "cross_entropy": pixel_cross_entropy(_resize(outputs, size_of(batch.pixels)), batch_masks(targets, batch))
        }

    def found_in(self, outputs: Tensor, batch: ImageBatch) -> list[Segmentation]:
        """Resize logits to the input images and take the best class of each pixel."""
        found = []
        pixel_scores = _resize(outputs, size_of(batch.pixels))
        for image, size, original in zip(pixel_scores, batch.sizes, batch.original_sizes, strict=True):
            logits = _resize(image[None, :, : size[0], : size[1]], original)
            best = logits[0].max(dim=0).indices  # argmax takes up to three times as long on CPUs
            found.append(Segmentation(mask=best.to(torch.uint8)))
        return found


def batch_masks(targets: list[Target], batch: ImageBatch) -> Tensor:
    """Resize masks (nearest neighbor) like their images and pad them with void: uint8 (B, H, W)."""
    masks = torch.full((len(targets), *size_of(batch.pixels)), VOID, dtype=torch.uint8, device=batch.pixels.device)
    for target, size, place in zip(targets, batch.sizes, masks, strict=True):
        mask = target["mask"].to(place.device, non_blocking=True)
        if mask.shape != size:
            mask = F.interpolate(mask[None, None], size=size, mode="nearest-exact")[0, 0]
        place[: size[0], : size[1]] = mask
    return masks


def pixel_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy over the pixels that are not void, or 0 if there are none.

    Args:
        logits: float32 (B, C, H, W).
        masks: uint8 (B, H, W), classes 0..C - 1 and 255 for void.
    """
    # PyTorch's two-dimensional loss is not deterministic on GPUs; the loss of rows is.
    rows, labels = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.flatten().long()
    total = F.cross_entropy(rows, labels, ignore_index=VOID, reduction="sum")
    return total / shared_count(labels != VOID)


def _resize(scores: Tensor, size: Size) -> Tensor:
    if torch.compiler.is_exporting():
        return traced_resize(scores, size)
    if scores.shape[-2:] == size:
        return scores
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
