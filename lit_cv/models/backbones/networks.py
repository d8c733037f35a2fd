"""The layers of the classification networks, without their classifiers and with random weights."""

import re
from itertools import pairwise
from typing import cast

import torchvision
from torch import Tensor, nn
from torchvision.models import vgg

from lit_cv.models.backbones.chain import Chain

VGG_LAYOUTS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}


def tiny_layers(_: str) -> Chain:
    """Five 3x3 convolutions to stride 16, for quick starts at about 128 pixels."""
    widths, strides = (3, 32, 64, 128, 128, 128), (2, 2, 2, 2, 1)
    return Chain(
        *(_block(before, after, stride) for before, after, stride in zip(widths[:-1], widths[1:], strides, strict=True))
    )


def tiny_vgg_layers(_: str) -> Chain:
    """Five 3x3 convolutions with a 2x2 max pooling between each two, to stride 16: VGG's shape for quick starts."""
    widths = (3, 16, 32, 64, 96, 128)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [_block(before, after, 1), nn.MaxPool2d(2)]
    return Chain(*layers[:-1])


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(8, after), nn.ReLU(inplace=True))


def vgg_layers(name: str) -> Chain:
    """A VGG without pool5, plain or with batch norm.

    torchvision's constructor would also initialize the classifier, which has 120 million weights.
    """
    layers = vgg.make_layers(vgg.cfgs[VGG_LAYOUTS[name.removesuffix("_bn")]], batch_norm=name.endswith("_bn"))
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return Chain(*layers[:-1])


def alexnet_layers(_: str) -> Chain:
    """AlexNet without pool5, padded so that 320 pixels give 20 cells at stride 16 (torchvision's give 19)."""
    layers = torchvision.models.alexnet(weights=None).features[:-1]
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.stride == (4, 4):
            layer.padding = (4, 4)
        elif isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    return Chain(*layers)


def squeezenet_layers(name: str) -> Chain:
    """A SqueezeNet, padded so that 320 pixels give 20 cells at stride 16 (torchvision's give 19)."""
    layers = torchvision.models.get_model(name, weights=None).features
    stem = cast(nn.Conv2d, layers[0])
    stem.padding = tuple(side // 2 for side in stem.kernel_size)
    return Chain(*layers)


def feature_layers(name: str) -> Chain:
    """A network whose layers torchvision keeps under ``features``: MobileNet, EfficientNet or ConvNeXt.

    MobileNets and EfficientNets keep their last 1x1 convolution.
    """
    return Chain(*torchvision.models.get_model(name, weights=None).features)


def resnet_layers(name: str) -> Chain:
    """A ResNet, ResNeXt or wide ResNet."""
    return _without(torchvision.models.get_model(name, weights=None), ("avgpool", "fc"))


def dilated_resnet_layers(name: str, output_stride: int) -> Chain:
    """A ResNet with bottlenecks that ends at stride 16 or 8: its last one or two stages are dilated."""
    dilated = [False, output_stride <= 8, output_stride <= 16]  # of layer2 to layer4: the last first
    network = torchvision.models.get_model(name, weights=None, replace_stride_with_dilation=dilated)
    return _without(network, ("avgpool", "fc"))


def googlenet_layers(_: str) -> Chain:
    """GoogLeNet without its average pool (Long et al. 2015, section 4.1) and without auxiliary classifiers."""
    network = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=True)
    return _without(network, ("avgpool", "dropout", "fc"))


def _without(network: nn.Module, left_out: tuple[str, ...]) -> Chain:
    return Chain.of((name, layer) for name, layer in network.named_children() if name not in left_out)


def regnet_layers(name: str) -> Chain:
    """A RegNet: its stem and its four stages."""
    network = torchvision.models.get_model(name, weights=None)
    return Chain.of([("stem", network.stem), *network.trunk_output.named_children()])


def regnet_key(key: str) -> str:
    """Give the keys of a RegNet's stem the prefix of its stages."""
    return f"trunk_output.{key}" if key.startswith("stem.") else key


def densenet_layers(name: str) -> Chain:
    """A DenseNet with the ReLU after its last norm."""
    network = torchvision.models.get_model(name, weights=None)
    return Chain.of([*network.features.named_children(), ("relu5", nn.ReLU(inplace=True))])


def densenet_key(key: str) -> str:
    """Rename the keys of the published state dicts, ``denselayer1.norm.1``, to today's, ``denselayer1.norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)", r"\1", key)


def swin_layers(name: str) -> Chain:
    """A Swin transformer with its last norm; each layer takes and returns maps with their channels first."""
    network = torchvision.models.get_model(name, weights=None)
    layers = Chain.of([*network.features.named_children(), ("norm", network.norm)])
    for layer in layers[1:]:
        layer.register_forward_pre_hook(_channels_to_the_end)
    for layer in layers:
        layer.register_forward_hook(_channels_to_the_front)
    return layers


def swin_key(key: str) -> str:
    """Give the keys of a Swin transformer's last norm the prefix of its other layers."""
    return f"features.{key}" if key.startswith("norm.") else key


def _channels_to_the_end(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0].permute(0, 2, 3, 1)


def _channels_to_the_front(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output.permute(0, 3, 1, 2)
