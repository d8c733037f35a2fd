"""The backbones of YOLO (Redmon et al. 2016, section 2.1)."""

from itertools import pairwise

from torch import nn

SLOPE = 0.1  # of the leaky ReLU (eq. 2)

# The first 20 convolutions of figure 3, as (kernel, width), with a 2x2 max pooling between two groups. The first
# convolution has stride 2.
YOLO_LAYOUT = (
    ((7, 64),),
    ((3, 192),),
    ((1, 128), (3, 256), (1, 256), (3, 512)),
    (*((1, 256), (3, 512)) * 4, (1, 512), (3, 1024)),
    ((1, 512), (3, 1024)) * 2,
)
FAST_YOLO_WIDTHS = (16, 32, 64, 128, 256, 512)


def yolo_layers(batch_norm: bool) -> nn.Sequential:
    """Build the 20 convolutions that the paper trains for classification first, to stride 32 (figure 3)."""
    layers: list[nn.Module] = []
    before = 3
    for group in YOLO_LAYOUT:
        for kernel, after in group:
            layers.append(convolution(before, after, kernel, 1 if layers else 2, batch_norm))
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:-1])


def fast_yolo_layers(batch_norm: bool) -> nn.Sequential:
    """Build the first six of Fast YOLO's nine convolutions, each with a pooling, to stride 64 (as in darknet)."""
    layers: list[nn.Module] = []
    for before, after in pairwise((3, *FAST_YOLO_WIDTHS)):
        layers += [convolution(before, after, 3, 1, batch_norm), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


def convolution(before: int, after: int, kernel: int, stride: int, batch_norm: bool) -> nn.Sequential:
    """Build a padded convolution, an optional batch norm, and the leaky ReLU of eq. 2."""
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=not batch_norm)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    norm = [nn.BatchNorm2d(after)] if batch_norm else []
    return nn.Sequential(layer, *norm, nn.LeakyReLU(SLOPE, inplace=True))
