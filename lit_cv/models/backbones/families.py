"""The layers of the networks that need more than torchvision's constructor to be a backbone."""

from itertools import pairwise

import torchvision
from torch import Tensor, nn

from lit_cv.models.backbones.darknet import fast_yolo_layers, yolo_layers
from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD

GOOGLENET_EPS = 1e-3  # of its batch norms


def tiny_layers() -> nn.Sequential:
    """Five 3x3 convolutions to stride 16, for quick starts at about 128 pixels."""
    widths, strides = (3, 32, 64, 128, 128, 128), (2, 2, 2, 2, 1)
    blocks = [
        _block(before, after, stride) for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True)
    ]
    return nn.Sequential(*blocks)


def tiny_vgg_layers() -> nn.Sequential:
    """Five 3x3 convolutions with a 2x2 max pooling between each two, to stride 16: VGG's shape for quick starts."""
    widths = (3, 16, 32, 64, 96, 128)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [_block(before, after, 1), nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:-1])


def alexnet_layers() -> nn.Sequential:
    """AlexNet without pool5, padded so that 320 pixels give 20 cells at stride 16 (torchvision's give 19)."""
    layers: nn.Sequential = torchvision.models.alexnet(weights=None).features[:-1]
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.stride == (4, 4):
            layer.padding = (4, 4)
        elif isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    return layers


def googlenet_layers() -> list[tuple[str, nn.Module]]:
    """GoogLeNet without its average pool (Long et al. 2015, section 4.1) and without auxiliary classifiers.

    Its published weights expect pixels in [-1, 1] instead of normalised ones; its first layer converts them.
    """
    network = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=True)
    network.conv1.register_forward_pre_hook(_to_plain_pixels)
    return [(key, layer) for key, layer in network.named_children() if key not in ("avgpool", "dropout", "fc")]


def _to_plain_pixels(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    pixels = inputs[0]
    mean, std = pixels.new_tensor(IMAGENET_MEAN), pixels.new_tensor(IMAGENET_STD)
    return pixels * (std / 0.5)[:, None, None] + ((mean - 0.5) / 0.5)[:, None, None]


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, after), nn.ReLU(inplace=True))


VGG_LAYOUTS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}
RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
)
MOBILENETS = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
SQUEEZENETS = ("squeezenet1_0", "squeezenet1_1")
TINY = ("tiny", "tiny_vgg")
DARKNETS = {"yolo": yolo_layers, "fast_yolo": fast_yolo_layers}
NAMES = (
    *(*VGG_LAYOUTS, *(f"{name}_bn" for name in VGG_LAYOUTS), *RESNETS, *MOBILENETS, *SQUEEZENETS),
    *("alexnet", "googlenet", *TINY, *DARKNETS, *(f"{name}_bn" for name in DARKNETS)),
)
