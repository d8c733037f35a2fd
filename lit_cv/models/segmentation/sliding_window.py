"""Semantic segmentation by sliding window: classify the patch around each pixel (lecture; Farabet et al. 2013)."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.images import ImageBatch
from lit_cv.models.network import Target
from lit_cv.models.segmentation.segmenter import VOID, Segmentation, Segmenter, batch_masks
from lit_cv.ops.global_batch import rank, shared_count
from lit_cv.ops.global_random import uniform

KERNEL = 5  # height and width of every convolution
POOL = 2  # side and stride of every max pool


class SlidingWindowSegmenter(Segmenter):
    """A small patch classifier, trained on sampled patches and slid over the image.

    Each width is a 5x5 convolution without padding, a 2x2 max pool between two of them; a linear layer gives the
    classes. The patch is the receptive field of that, so its size follows from the number of widths: 5, 14, 32, 68, 140
    pixels. The layers are ReLU and biases alone: normalisation over a patch (GroupNorm) or over sampled patches
    (BatchNorm) has other statistics than over an image, so shared computation would give other scores.

    Trained as Farabet et al. 2013 (section 4.2) and Pinheiro & Collobert 2014 do it: the cross-entropy of patches
    around pixels drawn uniformly, with replacement, from the labelled pixels of each image, never around void. They are
    drawn as ``lit_cv.ops.global_random`` says; ``evaluate()`` draws too, so that both losses mean the same.

    Scores have the resolution of the window grid. Each pixel takes the class of the nearest window: window (i, j)
    stands for the ``stride`` x ``stride`` pixels from (i * stride, j * stride) on and is centred on them (half a pixel
    above and left of their centre where ``patch`` and ``stride`` are not both even or both odd). Outside the image is
    0, the mean colour. No operation is non-deterministic on GPU but the convolutions, which PyTorch's deterministic
    mode makes reproducible.

    Attributes:
        patch: Height and width of the window in pixels.

    Args:
        num_classes: Number of classes with the background.
        widths: Channels of each convolution.
        stride: Pixels between two windows.
        patches_per_image: Patches of each image in the loss.
        patch_batch: Patches of one forward pass of ``shared: false``; bounds its memory.
        shared: False classifies each window on its own, as the lecture's figure. True runs the same weights as one
            fully convolutional network over the image, with the same scores: overlapping windows share their features.
        min_size: Pixels of the shorter side of the resized image; None keeps each image as it is.
        max_size: Largest longer side of the resized image.
        channels_last: Memory format of the network.

    Raises:
        UserError: No width, or a number that is not positive.
    """

    stages: ClassVar[dict[str, str]] = {"_classify": "backbone", "classifier": "heads"}

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[int] = (16, 64, 256),
        stride: int = 4,
        patches_per_image: int = 64,
        patch_batch: int = 1024,
        shared: bool = True,
        min_size: int | None = None,
        max_size: int = 1333,
        channels_last: bool = False,
    ) -> None:
        super().__init__(num_classes, min_size, max_size, divisible=stride, channels_last=channels_last)
        if not widths or min(*widths, stride, patches_per_image, patch_batch) < 1:
            raise UserError(
                f"widths={list(widths)}, stride={stride}, patches_per_image={patches_per_image}, "
                f"patch_batch={patch_batch}: give at least one width, and nothing below 1."
            )
        self.stride, self.shared = stride, shared
        self.patches_per_image, self.patch_batch = patches_per_image, patch_batch
        layers = [nn.Conv2d(before, after, KERNEL) for before, after in zip((3, *widths), widths, strict=False)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(cast(Tensor, layer.bias))
        self.convolutions = nn.ModuleList(layers)
        self.classifier = nn.Conv2d(widths[-1], num_classes, 1)
        self.patch = KERNEL
        for _ in widths[1:]:
            self.patch = self.patch * POOL + KERNEL - 1
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def losses(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """See ``Network.losses``; the mean over the sampled patches, 0 where no image has a labelled pixel."""
        return self._patch_losses(self.batch(images), targets)

    def losses_of(self, scores: Tensor, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        """Return the losses of sampled patches, as in training; the dense scores take no part."""
        return self._patch_losses(batch, targets)

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the logits of all windows, (B, num_classes, H / stride, W / stride).

        Args:
            pixels: float32 (B, 3, H, W), normalised; H and W multiples of ``stride``.
        """
        padded, first = self._padded(pixels), self.stride // 2
        if self.shared:
            return self._classify(padded[..., first:, first:], self.stride)
        height, width = pixels.shape[-2] // self.stride, pixels.shape[-1] // self.stride
        windows = torch.arange(len(pixels) * height * width, device=pixels.device)
        logits = [
            self._classify_at(padded, *self._places(part, height, width))
            for part in torch.split(windows, self.patch_batch)
        ]
        return torch.cat(logits).view(len(pixels), height, width, -1).permute(0, 3, 1, 2)

    def _places(self, windows: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return image, row and column of the centre pixels of windows, numbered through a batch of grids."""
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
        patches = padded.unfold(2, self.patch, 1).unfold(3, self.patch, 1)  # a view: only what is indexed is copied
        return self._classify(patches[image, :, rows, columns], POOL ** (len(self.convolutions) - 1)).flatten(1)

    def _classify(self, pixels: Tensor, stride: int) -> Tensor:
        """Return the logits of the windows at every ``stride``-th pixel from the first on.

        The patch classifier has a stride of its own, the product of its pools. Where windows are denser, a pool keeps
        every pixel and the layers after it are dilated instead (Long et al. 2015, section 3.1; the "fragments" of
        Giusti et al. 2013 in another order). Where they are sparser, the last convolution skips what is not asked for.

        Args:
            pixels: (N, 3, h, w), at least a patch each way.
            stride: Pixels between two windows.

        Returns:
            (N, num_classes, 1 + (h - patch) // stride, 1 + (w - patch) // stride).
        """
        *layers, last = cast(list[nn.Conv2d], list(self.convolutions))
        reached, dilation, maps = 1, 1, pixels
        for layer in layers:
            maps = F.conv2d(maps, layer.weight, layer.bias, dilation=dilation)
            step = POOL if stride % (reached * POOL) == 0 else 1
            maps = F.relu(F.max_pool2d(maps, POOL, step, dilation=dilation))  # in this order there is less to do
            reached, dilation = reached * step, dilation * POOL // step
        maps = F.relu(F.conv2d(maps, last.weight, last.bias, stride // reached, dilation=dilation))
        logits: Tensor = self.classifier(maps)
        return logits

    def _patch_losses(self, batch: ImageBatch, targets: list[Target]) -> dict[str, Tensor]:
        masks = batch_masks(targets, batch)
        places = sample_labelled(masks, self.patches_per_image)
        labels = masks[places].long()
        logits = self._classify_at(self._padded(batch.pixels), *places).float()
        total = F.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum")
        return {"cross_entropy": total / shared_count(labels != VOID)}

    def _masks(self, scores: Tensor, batch: ImageBatch) -> list[Segmentation]:
        # Nearest neighbour, not the bilinear resizing of Segmenter: a window votes for the pixels that it stands for.
        classes = scores.argmax(dim=1, keepdim=True).to(torch.uint8)
        pixels = F.interpolate(classes, size=batch.pixels.shape[-2:], mode="nearest-exact")
        found = []
        for image, size, original in zip(pixels, batch.sizes, batch.original_sizes, strict=True):
            mask = F.interpolate(image[None, :, : size[0], : size[1]], size=original, mode="nearest-exact")
            found.append(Segmentation(mask=mask[0, 0]))
        return found


def sample_labelled(masks: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw pixels uniformly, with replacement, from those of each mask that are not void.

    Args:
        masks: uint8 (B, H, W), 255 is void.
        count: Pixels of each mask.

    Returns:
        Mask, row and column of each pixel, int64 (B * count,), mask by mask. Of a mask that is void altogether the last
        pixel is returned.
    """
    images, height, width = masks.shape
    upto = (masks != VOID).flatten(1).cumsum(dim=1)
    labelled = upto[:, -1:]
    ranks = uniform((images, count), masks.device, rank() * images).mul(labelled).long() + 1
    # The product may round up to the number of labelled pixels itself.
    index = torch.searchsorted(upto, ranks.minimum(labelled.clamp(min=1))).clamp(max=height * width - 1)
    image = torch.arange(images, device=masks.device).repeat_interleave(count)
    return image, index.flatten() // width, index.flatten() % width
