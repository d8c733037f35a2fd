"""Inception v3 with padding, so that its maps have ceil(side / stride) cells like those of the other backbones."""

from typing import cast

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.inception import InceptionB, InceptionD

from lit_cv.models.backbones.chain import Chain

VALID = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_4a_3x3")  # 3x3 convolutions without padding in the stem


class _PaddedInceptionB(InceptionB):  # type: ignore[misc]  # torchvision has no types
    """Figure 10, from stride 8 to 16, with padding in its layers of stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C + 480, ceil(H / 2), ceil(W / 2))."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), double, F.max_pool2d(x, 3, 2, padding=1)), dim=1)


class _PaddedInceptionD(InceptionD):  # type: ignore[misc]  # torchvision has no types
    """The same from stride 16 to 32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C + 512, ceil(H / 2), ceil(W / 2))."""
        single = self.branch3x3_2(self.branch3x3_1(x))
        deep = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat((single, deep, F.max_pool2d(x, 3, 2, padding=1)), dim=1)


def inception_layers(_: str) -> Chain:
    """Inception v3 (Szegedy et al. 2016) without auxiliary classifier.

    torchvision's network has no padding in its stem and where it halves its maps: 320 pixels give 18 cells at stride
    16, and here 20. The weights are the same.
    """
    network = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=True)
    network.Mixed_6a.__class__, network.Mixed_7a.__class__ = _PaddedInceptionB, _PaddedInceptionD
    convolutions = [network.get_submodule(name).conv for name in VALID]
    convolutions += [network.Mixed_6a.branch3x3.conv, network.Mixed_6a.branch3x3dbl_3.conv]
    convolutions += [network.Mixed_7a.branch3x3_2.conv, network.Mixed_7a.branch7x7x3_4.conv]
    for convolution in convolutions:
        cast(nn.Conv2d, convolution).padding = (1, 1)
    for pool in (network.maxpool1, network.maxpool2):
        cast(nn.MaxPool2d, pool).padding = 1
    return Chain.of(
        (name, layer) for name, layer in network.named_children() if name not in ("avgpool", "dropout", "fc")
    )
