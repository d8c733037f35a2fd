"""The last layers of classification networks: as convolutions, on regions, and on warped windows."""

from typing import Literal

import torchvision
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of
from lit_cv.models.backbones.family import FullyConnected
from lit_cv.models.backbones.frozen_norm import freeze_batch_norm
from lit_cv.models.backbones.stages import Stage
from lit_cv.models.backbones.state_dicts import load_weights
from lit_cv.models.backbones.trunk import Norm, Trunk
from lit_cv.models.backbones.weights import read_weights
from lit_cv.models.layers.dropout import Dropout

Head = Literal["mlp", "backbone"]
FEATURES = 4096  # length of the output of fc6 and fc7
POOLED = 7  # height and width of a pooled region
CELLS = 3  # height and width of pool5 of a network without fully connected layers
PREFIX = "classifier."


def with_end(trunk: Trunk, weights: str | None, dropout: float | None) -> Trunk:
    """Add the layers between a network's last map and its classifier's last layer, as one more stage.

    Long et al. 2015, section 4.1. VGG and AlexNet: pool5, fc6 as a 7x7 (AlexNet: 6x6) and fc7 as a 1x1 convolution,
    with their weights. Zeros around the input of fc6 keep the size of the map; Long et al. pad the image by 100 pixels
    and crop the result instead. GoogLeNet: only the dropout, as part of its last stage, without the average pool.

    Args:
        trunk: The network; its layers are changed in place.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.
        dropout: Probability; None: the network's own.

    Raises:
        UserError: The network has no such layers, or the weights do not fit.
    """
    name, layers, last, family = trunk.name, trunk.layers, trunk.stages[-1], trunk.family
    if "convolutions" not in family.ends:
        raise UserError(f"head: backbone takes a VGG, alexnet or googlenet, not {name!r}: use none or conv.")
    rate = family.dropout if dropout is None else dropout
    if family.fully_connected is None:
        layers.add_module("dropout", Dropout(rate))
        stage = Stage((*last.layers, "dropout"), last.stride, last.channels)
        return Trunk(name, family, layers, [*trunk.stages[:-1], stage])
    pool, ends = _convolutions(family.fully_connected, last.channels, rate)
    if weights is not None:
        load_weights(ends, _as_convolutions(ends, read_weights(name, weights)), PREFIX, source=weights)
    layers.add_module("pool5", pool)
    layers.add_module("fc", ends)
    return Trunk(name, family, layers, [*trunk.stages, Stage(("pool5", "fc"), 2 * last.stride, FEATURES)])


def _convolutions(end: FullyConnected, channels: int, dropout: float) -> tuple[nn.Module, nn.Sequential]:
    """Build pool5, and fc6 and fc7 as convolutions."""
    if end.dropout_first:  # six cells: the odd zeros are below and at the right
        pool = nn.Sequential(nn.MaxPool2d(end.pool, 2, ceil_mode=True), nn.ZeroPad2d((2, 3, 2, 3)))
        fc6, fc7 = nn.Conv2d(channels, FEATURES, end.cells), nn.Conv2d(FEATURES, FEATURES, 1)
        return pool, nn.Sequential(Dropout(dropout), fc6, nn.ReLU(), Dropout(dropout), fc7, nn.ReLU())
    fc6, fc7 = nn.Conv2d(channels, FEATURES, end.cells, padding=end.cells // 2), nn.Conv2d(FEATURES, FEATURES, 1)
    ends = nn.Sequential(fc6, nn.ReLU(), Dropout(dropout), fc7, nn.ReLU(), Dropout(dropout))
    return nn.MaxPool2d(end.pool, 2), ends


def _as_convolutions(ends: nn.Sequential, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the matrices of fully connected layers the shapes of the equivalent convolutions."""
    shaped = dict(state)
    for key, value in ends.state_dict(prefix=PREFIX).items():
        if key in state and state[key].numel() == value.numel():
            shaped[key] = state[key].view(value.shape)
    return shaped


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
    layers, prefix, features = _region_layers(backbone)
    if weights is not None:
        load_weights(layers, read_weights(backbone, weights), prefix, source=weights)
    if norm == "frozen":
        freeze_batch_norm(layers)
    if family_of(backbone).fully_connected is not None:
        return nn.Sequential(nn.Flatten(), layers), features
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), features


def _region_layers(backbone: str) -> tuple[nn.Module, str, int]:
    """Return the last layers, the prefix of their keys in the network's state dict, and the length of their output."""
    family = family_of(backbone)
    if "regions" not in family.ends:
        raise UserError(f"head: backbone takes a VGG without batch norm or a ResNet, not {backbone!r}: use mlp.")
    if family.last_stage is not None:
        network = torchvision.models.get_model(backbone, weights=None)
        return network.get_submodule(family.last_stage), f"{family.last_stage}.", network.fc.in_features
    # torchvision's constructor would initialize 120 million weights twice.
    fc6, fc7 = nn.Linear(512 * POOLED**2, FEATURES), nn.Linear(FEATURES, FEATURES)
    return nn.Sequential(fc6, nn.ReLU(), Dropout(), fc7, nn.ReLU(), Dropout()), PREFIX, FEATURES


class WindowHead(nn.Module):
    """Turns the last map of a region into one vector per layer.

    ``pool5`` of AlexNet and of a plain VGG is their last pooling; ``fc6`` and ``fc7`` follow with their weights. Maps
    of another size than in the network are averaged to that size, as torchvision does. Other networks have ``pool5``
    alone: the last map averaged to 3 x 3.

    Args:
        trunk: The network before it.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.

    Attributes:
        lengths: Maps a layer to the length of its vector, first layer first.
        last: The last layer.

    Raises:
        UserError: The weights do not fit.
    """

    def __init__(self, trunk: Trunk, weights: str | None) -> None:
        super().__init__()
        end = trunk.family.fully_connected if "windows" in trunk.family.ends else None
        pool, cells = (nn.Identity(), CELLS) if end is None else (nn.MaxPool2d(end.pool, 2), end.cells)
        self.pool5 = nn.Sequential(pool, nn.AdaptiveAvgPool2d(cells), nn.Flatten())
        self.lengths = {"pool5": trunk.stages[-1].channels * cells**2}
        for name, place in zip(("fc6", "fc7"), () if end is None else end.places, strict=False):
            linear = nn.Linear(list(self.lengths.values())[-1], FEATURES)
            if weights is not None:
                load_weights(linear, read_weights(trunk.name, weights), f"{PREFIX}{place}.", source=weights)
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
