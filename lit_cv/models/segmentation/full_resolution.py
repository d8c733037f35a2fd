"""A fully convolutional network at full resolution (Stanford CS231n 2017, lecture 11)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.segmentation.segmenter import Segmenter

GROUPS = 8  # groups of each GroupNorm


class FullResolutionFCN(Segmenter):
    """3x3 convolutions with GroupNorm and ReLU at the resolution of the image, followed by a pixel classifier.

    The network neither downsamples nor upsamples. Time and memory grow with the number of pixels times the sum of the
    widths. Each convolution widens the receptive field by only two pixels, which is the lecture's reason for
    downsampling inside the network. Dilation d widens it by 2d at the same cost (Yu & Koltun 2016, section 2).

    GroupNorm (Wu & He 2018) computes its statistics over the padded image. If the images of a batch differ in size, the
    scores of an image therefore depend a little on the sizes of the others.

    Args:
        widths: Channels of each convolution, multiples of 8 (the groups of GroupNorm).
        dilations: Dilation of each convolution; None: 1 for all.
        options: Arguments of ``Segmenter``.

    Raises:
        UserError: A width is not a multiple of 8, or the numbers of widths and dilations differ.
    """

    divisible = 1

    def __init__(
        self,
        *args: Any,
        widths: Sequence[int] = (32, 32, 32, 32),
        dilations: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        dilations = [1] * len(widths) if dilations is None else dilations
        if not widths or any(width < 1 or width % GROUPS for width in widths):
            raise UserError(f"widths={list(widths)}: give at least one, each a positive multiple of {GROUPS}.")
        if len(dilations) != len(widths) or min(dilations) < 1:
            raise UserError(f"dilations={list(dilations)}: give {len(widths)} of at least 1, one for each width.")
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation, bias=False),
                nn.GroupNorm(GROUPS, after),
                nn.ReLU(inplace=True),
            )
            for before, after, dilation in zip((3, *widths[:-1]), widths, dilations, strict=True)
        ]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Conv2d(widths[-1], self.num_classes, 1)
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits of all pixels, (B, num_classes, H, W), see ``Segmenter``."""
        logits: Tensor = self.classifier(self.features(pixels)).float()
        return logits
