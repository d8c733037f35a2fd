"""Semantic segmentation by sliding window: classify the patch around each pixel (Farabet et al. 2013)."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.images import ImageBatch
from lit_cv.models.network import Target
from lit_cv.models.segmentation.segmenter import VOID, Segmentation, Segmenter, batch_masks
from lit_cv.ops.global_batch import rank, shared_count
from lit_cv.ops.global_random import uniform

KERNEL = 5  # height and width of each convolution
POOL = 2  # size and stride of each max pooling


class SlidingWindowSegmenter(Segmenter):
    """A small patch classifier that is trained on sampled patches and slid over the image.

    It has a 5x5 convolution without padding for each of ``widths``, a 2x2 max pooling between each two of them, and a
    linear output layer. The patch is the receptive field of these layers, so its size follows from the number of
    widths: 5, 14, 32, 68, 140 pixels. There is no normalization layer: statistics over a patch (GroupNorm) or over
    sampled patches (BatchNorm) differ from statistics over an image, so shared computation would change the scores.

    The training follows Farabet et al. 2013 (section 4.2) and Pinheiro & Collobert 2014. The loss is the cross-entropy
    of patches around pixels that are sampled uniformly, with replacement, from the labeled pixels of each image, never
    from void. ``lit_cv.ops.global_random`` provides the random numbers. ``evaluate()`` samples too, so its loss is
    comparable with the training loss.

    Scores have the resolution of the window grid. Each pixel takes the class of the nearest window. Window (i, j)
    covers the ``stride`` x ``stride`` pixels from (i * stride, j * stride) on and is centered on them. (It lies half a
    pixel above and to the left of their center if one of ``patch`` and ``stride`` is even and the other odd.) Pixels
    outside the image are 0, the mean color. On GPUs, only convolutions are not deterministic by default; PyTorch's
    deterministic mode makes them reproducible.

    Attributes:
        patch: Height and width of the window in pixels.

    Args:
        widths: Channels of each convolution.
        stride: Pixels between two windows.
        patches_per_image: Number of sampled patches for each image in the loss.
        patch_batch: Number of patches in one forward pass with ``shared: false``; limits memory.
        shared: False classifies each window separately, as in the lecture's figure. True applies the same weights as a
            fully convolutional network to the image: overlapping windows share features, and the scores are the same.
        options: Arguments of ``Segmenter``.

    Raises:
        UserError: ``widths`` is empty, or a number is not positive.
    """

    stages: ClassVar[dict[str, str]] = {"_classify": "backbone", "classifier": "heads"}

    def __init__(
        self,
        *args: Any,
        widths: Sequence[int] = (16, 64, 256),
        stride: int = 4,
        patches_per_image: int = 64,
        patch_batch: int = 1024,
        shared: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        if not widths or min(*widths, stride, patches_per_image, patch_batch) < 1:
            raise UserError(
                f"widths={list(widths)}, stride={stride}, patches_per_image={patches_per_image}, "
                f"patch_batch={patch_batch}: give at least one width, and nothing below 1."
            )
        self.stride, self.divisible, self.shared = stride, stride, shared
        self.patches_per_image, self.patch_batch = patches_per_image, patch_batch
        layers = [nn.Conv2d(before, after, KERNEL) for before, after in zip((3, *widths), widths, strict=False)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(cast(Tensor, layer.bias))
        self.convolutions = nn.ModuleList(layers)
        self.classifier = nn.Conv2d(widths[-1], self.num_classes, 1)
        self.patch = KERNEL
        for _ in widths[1:]:
            self.patch = self.patch * POOL + KERNEL - 1
        self.use_memory_format()

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``. The mean over the sampled patches, or 0 if no image has a labeled pixel."""
        return self._patch_losses(self.batch(images), targets)

    def losses_of(self, outputs: Tensor, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Compute the losses of sampled patches, as in training; the outputs of all windows are not used."""
        return self._patch_losses(batch, targets)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits of all windows, (B, num_classes, H / stride, W / stride), see ``Segmenter``."""
        padded, first = self._padded(pixels), self.stride // 2
        if self.shared:
            return self._classify(padded[..., first:, first:], self.stride).float()
        height, width = pixels.shape[-2] // self.stride, pixels.shape[-1] // self.stride
        windows = torch.arange(len(pixels) * height * width, device=pixels.device)
        logits = [
            self._classify_at(padded, *self._places(part, height, width))
            for part in torch.split(windows, self.patch_batch)
        ]
        return torch.cat(logits).float().view(len(pixels), height, width, -1).permute(0, 3, 1, 2)

    def _places(self, windows: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, row and column of the center pixels of windows, numbered through a batch of grids."""
        image, cell = windows // (height * width), windows % (height * width)
        rows, columns = (index * self.stride + self.stride // 2 for index in (cell // width, cell % width))
        return image, rows, columns

    def _padded(self, pixels: Tensor) -> Tensor:
        """Pad with zeros so that the patch around pixel (y, x) starts at (y, x): (B, 3, H + patch - 1, ...)."""
        before = self.patch // 2
        after = self.patch - 1 - before
        return F.pad(pixels, (before, after, before, after))

    def _classify_at(self, padded: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of the patches around pixels of padded images, int64 (N,) each."""
        patches = padded.unfold(2, self.patch, 1).unfold(3, self.patch, 1)  # a view: only indexed patches are copied
        return self._classify(patches[image, :, rows, columns], POOL ** (len(self.convolutions) - 1)).flatten(1)

    def _classify(self, pixels: Tensor, stride: int) -> Tensor:
        """Return the logits of the windows at every ``stride``-th pixel, starting with the first.

        The patch classifier has its own stride, the product of its pooling strides. If windows are denser, a pooling
        keeps every pixel and the layers after it are dilated instead (Long et al. 2015, section 3.1; the "fragments" of
        Giusti et al. 2013 in another order). If windows are sparser, the last convolution skips the others.

        Args:
            pixels: (N, 3, h, w), h and w at least ``patch``.
            stride: Pixels between two windows.

        Returns:
            (N, num_classes, 1 + (h - patch) // stride, 1 + (w - patch) // stride).
        """
        *layers, last = cast(list[nn.Conv2d], list(self.convolutions))
        reached, dilation, maps = 1, 1, pixels
        for layer in layers:
            maps = F.conv2d(maps, layer.weight, layer.bias, dilation=dilation)
            step = POOL if stride % (reached * POOL) == 0 else 1
            maps = F.relu(F.max_pool2d(maps, POOL, step, dilation=dilation))  # cheaper than pooling after the ReLU
            reached, dilation = reached * step, dilation * POOL // step
        maps = F.relu(F.conv2d(maps, last.weight, last.bias, stride // reached, dilation=dilation))
        logits: Tensor = self.classifier(maps)
        return logits

    def _patch_losses(self, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        masks = batch_masks(targets, batch)
        places = sample_labeled(masks, self.patches_per_image)
        labels = masks[places].long()
        logits = self._classify_at(self._padded(batch.pixels), *places).float()
        total = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum")
        return {"cross_entropy": total / shared_count(labels != VOID)}

    def found_in(self, outputs: Tensor, batch: ImageBatch) -> list[Segmentation]:
        """Give each pixel the class of its window: nearest neighbor instead of ``Segmenter``'s bilinear resizing."""
        classes = outputs.argmax(dim=1, keepdim=True).to(torch.uint8)
        pixels = F.interpolate(classes, size=batch.pixels.shape[-2:], mode="nearest-exact")
        found = []
        for image, size, original in zip(pixels, batch.sizes, batch.original_sizes, strict=True):
            mask = F.interpolate(image[None, :, : size[0], : size[1]], size=original, mode="nearest-exact")
            found.append(Segmentation(mask=mask[0, 0]))
        return found


def sample_labeled(masks: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sample pixels uniformly, with replacement, from the pixels of each mask that are not void.

    Args:
        masks: uint8 (B, H, W), 255 is void.
        count: Number of pixels for each mask.

    Returns:
        Mask, row and column of each pixel, int64 (B * count,), mask by mask. For a mask without labeled pixels it is
        the last pixel.
    """
    images, height, width = masks.shape
    upto = (masks != VOID).flatten(1).cumsum(dim=1)
    labeled = upto[:, -1:]
    ranks = uniform((images, count), masks.device, rank() * images).mul(labeled).long() + 1
    # Rounding may give a product equal to the number of labeled pixels.
    index = torch.searchsorted(upto, ranks.minimum(labeled.clamp(min=1))).clamp(max=height * width - 1)
    image = torch.arange(images, device=masks.device).repeat_interleave(count)
    return image, index.flatten() // width, index.flatten() % width
