"""The ends of classification networks as convolutions (Long et al. 2015, section 4.1)."""

from typing import Literal

import torchvision
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import RESNETS, VGG_LAYOUTS
from lit_cv.models.backbones.frozen_norm import freeze_batch_norm
from lit_cv.models.backbones.trunk import Norm, Stage, Trunk
from lit_cv.models.backbones.weights import load_weights, read_weights
from lit_cv.models.layers.dropout import Dropout

FEATURES = 4096  # of fc6 and fc7
DROPOUT = 0.5  # of theirs
GOOGLENET_DROPOUT = 0.2
PREFIX = "classifier."


def with_end(trunk: Trunk, weights: str | None, dropout: float | None) -> Trunk:
    """Add what stands between a network's last map and its classifier's last layer, as one more stage.

    VGG and AlexNet: pool5, fc6 as a 7x7 (AlexNet: 6x6) and fc7 as a 1x1 convolution with their weights. Zeros around
    the input of fc6 keep the size of the map, where Long et al. pad the image by 100 pixels and crop the result.
    GoogLeNet: the dropout alone, as part of its last stage, since the average pool is left out.

    Args:
        trunk: Of the network.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.
        dropout: None: the network's own.

    Raises:
        UserError: The network has no such layers, or the weights do not fit.
    """
    name, layers, last = trunk.name, trunk.layers, trunk.stages[-1]
    if name == "googlenet":
        layers.add_module("dropout", Dropout(GOOGLENET_DROPOUT if dropout is None else dropout))
        return Trunk(name, layers, [*trunk.stages[:-1], Stage((*last.layers, "dropout"), last.stride, last.channels)])
    rate = DROPOUT if dropout is None else dropout
    pool: nn.Module
    if name == "alexnet":
        pool = nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.ZeroPad2d((2, 3, 2, 3)))
        ends = _alexnet_end(last.channels, rate)
    elif name.removesuffix("_bn") in VGG_LAYOUTS:
        pool = nn.MaxPool2d(2, 2)
        ends = _vgg_end(last.channels, rate)
    else:
        raise UserError(f"head: backbone takes a VGG, alexnet or googlenet, not {name!r}: use none or conv.")
    if weights is not None:
        load_weights(ends, _as_convolutions(ends, read_weights(name, weights)), PREFIX, source=weights)
    layers.add_module("pool5", pool)
    layers.add_module("fc", ends)
    return Trunk(name, layers, [*trunk.stages, Stage(("pool5", "fc"), 2 * last.stride, FEATURES)])


def _vgg_end(channels: int, dropout: float) -> nn.Sequential:
    fc6, fc7 = nn.Conv2d(channels, FEATURES, 7, padding=3), nn.Conv2d(FEATURES, FEATURES, 1)
    return nn.Sequential(fc6, nn.ReLU(), Dropout(dropout), fc7, nn.ReLU(), Dropout(dropout))


def _alexnet_end(channels: int, dropout: float) -> nn.Sequential:
    fc6, fc7 = nn.Conv2d(channels, FEATURES, 6), nn.Conv2d(FEATURES, FEATURES, 1)
    return nn.Sequential(Dropout(dropout), fc6, nn.ReLU(), Dropout(dropout), fc7, nn.ReLU())


def _as_convolutions(ends: nn.Sequential, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the matrices of fully connected layers the shapes of the convolutions that they are."""
    shaped = dict(state)
    for key, value in ends.state_dict(prefix=PREFIX).items():
        if key in state and state[key].numel() == value.numel():
            shaped[key] = state[key].view(value.shape)
    return shaped


Head = Literal["mlp", "backbone"]
POOLED = 7  # height and width of a pooled region
VGG_FEATURES = 4096


def backbone_head(backbone: str, weights: str | None, norm: Norm) -> tuple[nn.Module, int]:
    """Build the layers that follow the map at stride 16 in the classification network, with its weights.

    VGG: fc6 and fc7 (Girshick 2015, section 2.2; Ren et al. 2015). ResNet: the last stage and its average pool
    (He et al. 2016, appendix A).

    Args:
        backbone: Name of a plain VGG or a ResNet.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.
        norm: As of the backbone.

    Returns:
        A module that maps pooled regions (K, C, 7, 7) to (K, D), and D.

    Raises:
        UserError: The family has no such layers here, or the weights do not fit.
    """
    layers, prefix, features = _end_of(backbone)
    if weights is not None:
        load_weights(layers, read_weights(backbone, weights), prefix, source=weights)
    if norm == "frozen":
        freeze_batch_norm(layers)
    if backbone in VGG_LAYOUTS:
        return nn.Sequential(nn.Flatten(), layers), features
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), features


def _end_of(backbone: str) -> tuple[nn.Module, str, int]:
    """Return the last layers, the prefix of their keys in the network's state dict, and the length of their output."""
    if backbone in VGG_LAYOUTS:
        # Not torchvision's constructor: it would draw 120 million random weights twice.
        fc6, fc7 = nn.Linear(512 * POOLED**2, VGG_FEATURES), nn.Linear(VGG_FEATURES, VGG_FEATURES)
        return nn.Sequential(fc6, nn.ReLU(), Dropout(), fc7, nn.ReLU(), Dropout()), "classifier.", VGG_FEATURES
    if backbone in RESNETS:
        network = torchvision.models.get_model(backbone, weights=None)
        return network.layer4, "layer4.", network.fc.in_features
    raise UserError(f"head: backbone takes a VGG without batch norm or a ResNet, not {backbone!r}: use mlp.")


CELLS = 3  # height and width of pool5 of a network without fully connected layers


class WindowHead(nn.Module):
    """Turns the last map of a region into vectors, one a layer.

    ``pool5`` of AlexNet and of a plain VGG is their last pooling, ``fc6`` and ``fc7`` follow with their weights; maps
    of other than the usual size are averaged to it, as torchvision does. Of other networks there is ``pool5`` alone:
    the last map averaged to 3 x 3.

    Args:
        trunk: The network before it.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.

    Attributes:
        lengths: Layer -> length of its vector, first layer first.
        last: The last layer.

    Raises:
        UserError: The weights do not fit.
    """

    def __init__(self, trunk: Trunk, weights: str | None) -> None:
        super().__init__()
        channels = trunk.stages[-1].channels
        pool: nn.Module = nn.Identity()
        cells = CELLS
        places: tuple[int, ...] = ()
        if trunk.name == "alexnet":
            cells, pool, places = 6, nn.MaxPool2d(3, 2), (1, 4)
        elif trunk.name in VGG_LAYOUTS:
            cells, pool, places = 7, nn.MaxPool2d(2, 2), (0, 3)
        self.pool5 = nn.Sequential(pool, nn.AdaptiveAvgPool2d(cells), nn.Flatten())
        self.lengths = {"pool5": channels * cells**2}
        for name, place in zip(("fc6", "fc7"), places, strict=False):
            linear = nn.Linear(list(self.lengths.values())[-1], FEATURES)
            if weights is not None:
                load_weights(linear, read_weights(trunk.name, weights), f"classifier.{place}.", source=weights)
            self.add_module(name, nn.Sequential(linear, nn.ReLU(), Dropout()))
            self.lengths[name] = FEATURES
        self.last = next(reversed(self.lengths))

    def classifier(self, num_classes: int) -> nn.Linear:
        """Build a layer of new classes on the last vector (Girshick et al. 2014, section 2.3)."""
        layer = nn.Linear(self.lengths[self.last], num_classes)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
        return layer

    def forward(self, maps: Tensor, last: str | None = None) -> dict[str, Tensor]:
        """Compute the vectors (K, D) of maps (K, C, H, W), of the layers up to ``last`` (None: of all)."""
        vectors: dict[str, Tensor] = {}
        for name in self.lengths:
            maps = self.get_submodule(name)(maps)
            vectors[name] = maps
            if name == last:
                break
        return vectors
