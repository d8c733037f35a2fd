"""The feature maps of SSD: VGG-16 as in the paper, or any backbone with extra blocks."""

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn
from torchvision.models.detection.ssd import SSDFeatureExtractorVGG

from lit_cv.errors import UserError
from lit_cv.models.backbones.necks import tapped
from lit_cv.models.backbones.trunk import Trunk

# Pixels between two cells of each map of SSD300 and SSD512, as in Liu's code.
VGG16_STEPS = {300: [8, 16, 32, 64, 100, 300], 512: [8, 16, 32, 64, 128, 256, 512]}


def vgg16_features(trunk: Trunk, size: int, atrous: bool) -> tuple[nn.Module, list[int]]:
    """Build the maps of SSD on VGG-16 (Liu et al. 2016, figure 2).

    SSD300 has six maps, 38, 19, 10, 5, 3 and 1 cells wide; SSD512 has seven, 64, 32, 16, 8, 4, 2 and 1 cells wide
    (footnote 5). The first, conv4_3, is normalized to length 20 in each cell; the length is learned per channel
    (section 3.1).

    Args:
        trunk: VGG-16.
        size: Pixels of both sides of the image, 300 or 512.
        atrous: See ``SSD``.

    Returns:
        A module that returns the maps by name, finest first, and their channels.
    """
    pool5 = nn.MaxPool2d(2, 2)  # the extractor expects it and removes it
    highres = size == 512
    network = SSDFeatureExtractorVGG(nn.Sequential(*trunk.layers.children(), pool5), highres=highres)
    if highres:
        _halve_as_liu(network.extra)
    channels = [512, 1024, 512, 256, 256, 256, *([256] if highres else [])]
    if atrous:
        return network, channels
    first, *others = network.extra
    conv5, fc = first[:-1], first[-1]
    fc[0] = nn.MaxPool2d(2, 2, ceil_mode=True)
    fc[1].dilation = fc[1].padding = (1, 1)
    network.extra = nn.ModuleList([conv5, fc, *others[:-1]])
    return network, [512, *channels[:-1]]


def _halve_as_liu(extra: nn.ModuleList) -> None:
    """Give the last blocks of SSD512 the strides of Liu's code: 4 and 2 cells, where torchvision's have 6 and 4."""
    *_, conv10, conv11, conv12 = (cast(nn.Conv2d, cast(nn.Sequential, block)[2]) for block in extra)
    for convolution in (conv10, conv11):
        convolution.stride, convolution.padding = (2, 2), (1, 1)
    conv12.padding = (1, 1)


class ExtendedFeatures(nn.Module):
    """The maps of a trunk at strides 8 and 16, and extra blocks that each halve the map before.

    Args:
        trunk: A network with stages at both strides.
        maps: Total number of maps, at least 2.

    Raises:
        UserError: Fewer than two maps, or the network has no stage at one of the strides.
    """

    WIDTH = 256

    def __init__(self, trunk: Trunk, maps: int) -> None:
        super().__init__()
        if maps < 2:
            raise UserError(f"anchor_ratios has {maps} lists: SSD needs at least two maps, one list each.")
        self.body, self.channels = tapped(trunk, (8, 16))
        self.extra = nn.ModuleList()
        for _ in range(maps - 2):
            self.extra.append(_halving_block(self.channels[-1], self.WIDTH))
            self.channels.append(self.WIDTH)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to the maps by name, finest first."""
        maps = OrderedDict(self.body(pixels))
        for block in self.extra:
            maps[str(len(maps))] = block(next(reversed(maps.values())))
        return maps


def _halving_block(before: int, after: int) -> nn.Sequential:
    narrow, halve = nn.Conv2d(before, after // 2, 1), nn.Conv2d(after // 2, after, 3, stride=2, padding=1)
    for convolution in (narrow, halve):
        nn.init.xavier_uniform_(convolution.weight)
        nn.init.zeros_(cast(Tensor, convolution.bias))
    return nn.Sequential(narrow, nn.ReLU(inplace=True), halve, nn.ReLU(inplace=True))
