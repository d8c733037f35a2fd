"""The ends of classification networks as convolutions (Long et al. 2015, section 4.1)."""

from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbones import VGG_LAYOUTS, Stage, Trunk, load_weights, read_weights
from lit_cv.models.dropout import Dropout

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
