"""Classification networks as backbones: any family by name, cut into stages, with pretrained weights."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from lit_cv.errors import UserError
from lit_cv.models.frozen_norm import FROZEN_EPS, freeze_batch_norm
from lit_cv.models.trunk_layers import GOOGLENET_EPS, alexnet_layers, googlenet_layers, tiny_layers, tiny_vgg_layers
from lit_cv.models.yolo_layers import fast_yolo_layers, yolo_layers

Norm = Literal["frozen", "train"]

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

PUBLISHED = {"imagenet": "IMAGENET1K_V1", "imagenet-features": "IMAGENET1K_FEATURES"}


@dataclass(frozen=True)
class Stage:
    """A run of layers whose outputs have one resolution.

    Attributes:
        layers: Their names in the trunk, first to last.
        stride: Pixels of the image between two cells of the output.
        channels: Of the output.
    """

    layers: tuple[str, ...]
    stride: int
    channels: int


@dataclass(frozen=True)
class Trunk:
    """A classification network without its classifier.

    Attributes:
        name: As given to ``build_trunk``.
        layers: The layers under the names that they have in the network, so that its state dict fits.
        stages: The layers by resolution, finest first.
    """

    name: str
    layers: nn.Sequential
    stages: list[Stage]

    def up_to(self, stride: int) -> "Trunk":
        """Leave out the stages coarser than ``stride``."""
        stages = [stage for stage in self.stages if stage.stride <= stride]
        names = {name for stage in stages for name in stage.layers}
        layers = nn.Sequential()
        for name, layer in self.layers.named_children():
            if name in names:
                layers.add_module(name, layer)
        return Trunk(self.name, layers, stages)

    def freeze(self, trainable_layers: int | None) -> "Trunk":
        """Stop the training of all stages but the last ``trainable_layers`` (None: train all)."""
        if trainable_layers is None:
            return self
        if not 0 <= trainable_layers <= len(self.stages):
            raise UserError(
                f"trainable_layers={trainable_layers}: {self.name} has {len(self.stages)} stages here; "
                f"give 0 to {len(self.stages)}, or null to train all."
            )
        for stage in self.stages[: len(self.stages) - trainable_layers]:
            for name in stage.layers:
                self.layers.get_submodule(name).requires_grad_(False)
        return self


class SingleMap(nn.Module):
    """Layers that return their last map alone, under the key ``"0"``."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.body = layers

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to ``{"0": (B, C, H / stride, W / stride)}``."""
        return {"0": self.body(pixels)}


def single_map(trunk: Trunk, trainable_layers: int | None) -> tuple[nn.Module, int, int]:
    """Build the backbone of Faster R-CNN's paper, with one map at stride 16 ("C4").

    Returns:
        As ``feature_pyramid``.
    """
    trunk = trunk.up_to(16).freeze(trainable_layers)
    return SingleMap(trunk.layers), trunk.stages[-1].channels, 1


def feature_pyramid(trunk: Trunk, trainable_layers: int | None, channels: int = 256) -> tuple[nn.Module, int, int]:
    """Build a feature pyramid (Lin et al. 2017) on the stages at strides 4 to 32, with one pooled map on top.

    MobileNets follow torchvision's detectors: a pyramid on the first block at stride 32 and on the last layer.

    Returns:
        A module that maps pixels (B, 3, H, W) to a dictionary of maps, finest first; the channels of each map; and the
        number of maps.
    """
    trunk = trunk.freeze(trainable_layers)
    if trunk.name in MOBILENETS:
        last = trunk.stages[-1]
        taps = {last.layers[0]: _width(trunk.layers.get_submodule(last.layers[0])), last.layers[-1]: last.channels}
    else:
        taps = {stage.layers[-1]: stage.channels for stage in trunk.stages if stage.stride >= 4}
    names = {name: str(level) for level, name in enumerate(taps)}
    return BackboneWithFPN(trunk.layers, names, list(taps.values()), channels), channels, len(taps) + 1


def tapped(trunk: Trunk, strides: tuple[int, ...]) -> tuple[nn.Module, list[int]]:
    """Build a backbone that returns the maps at the given strides, and list their channels."""
    stages = [stage for stage in trunk.stages if stage.stride in strides]
    names = {stage.layers[-1]: str(level) for level, stage in enumerate(stages)}
    return IntermediateLayerGetter(trunk.layers, names), [stage.channels for stage in stages]


def build_trunk(name: str, weights: str | None, norm: Norm, output_stride: int = 32) -> Trunk:
    """Build a network by name and load its weights.

    Args:
        name: One of ``NAMES`` or ``timm/<name>`` (needs the extra ``timm``).
        weights: ``imagenet`` (torchvision's first ImageNet weights, from torch.hub's cache or its server),
            ``imagenet-features`` (of vgg16 alone: those of SSD's authors, for pixels of 0 to 255), the path of a state
            dict of the classification network, or None for random weights.
        norm: ``frozen`` keeps the statistics and the affine parameters of batch norm as they are loaded; ``train``
            trains both. Networks without batch norm (AlexNet, SqueezeNet, plain VGG, tiny) take no notice.
        output_stride: 16 or 8 dilates the last one or two stages of a ResNet instead of halving its map (Chen et al.
            2018, section 3.1); 32 leaves a network as it is.

    Raises:
        UserError: Unknown name, weights that cannot be read or do not fit, no dilation in this network.
    """
    if output_stride != 32:
        layers, prefix = _dilated_layers(name, output_stride), ""
    elif name.startswith("timm/"):
        layers, prefix = _timm_layers(name, weights), ""
    else:
        layers, prefix = _torchvision_layers(name)
    if weights is not None and not (name.startswith("timm/") and weights == "imagenet"):
        load_weights(layers, read_weights(name, weights), prefix, source=weights)
    try:
        stages = _stages(layers)
    except (RuntimeError, TypeError) as error:  # some networks of timm
        raise UserError(f"Backbone {name!r} is not a plain sequence of layers: choose another.") from error
    if norm == "frozen":
        freeze_batch_norm(layers, GOOGLENET_EPS if name == "googlenet" else FROZEN_EPS)
    return Trunk(name, layers, stages)


def _torchvision_layers(name: str) -> tuple[nn.Sequential, str]:
    """Return the layers of a network and the prefix of their keys in its state dict."""
    if name in TINY:
        return (tiny_layers() if name == "tiny" else tiny_vgg_layers()), ""
    if name == "alexnet":
        return alexnet_layers(), "features."
    if name == "googlenet":
        return _sequential(googlenet_layers()), ""
    if name.removesuffix("_bn") in DARKNETS:
        return DARKNETS[name.removesuffix("_bn")](batch_norm=name.endswith("_bn")), ""
    if name.removesuffix("_bn") in VGG_LAYOUTS:
        # Not torchvision's constructor: it would first draw 120 million random weights of a classifier.
        features = vgg.make_layers(vgg.cfgs[VGG_LAYOUTS[name.removesuffix("_bn")]], batch_norm=name.endswith("_bn"))
        for layer in features:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        return features[:-1], "features."  # without pool5
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}" if close else f"choose from {', '.join(NAMES)}"
        raise UserError(f"Unknown backbone {name!r}: {hint}, or timm/<name>?")
    network = torchvision.models.get_model(name, weights=None)
    if name in RESNETS:
        return _resnet_layers(network), ""
    if name in SQUEEZENETS:
        # Without padding, 320 pixels would give 19 cells; padded like the other families they give 20.
        stem = network.features[0]
        stem.padding = tuple(side // 2 for side in stem.kernel_size)
    return network.features, "features."


def _dilated_layers(name: str, output_stride: int) -> nn.Sequential:
    if name not in RESNETS or name in ("resnet18", "resnet34"):
        raise UserError(
            f"output_stride={output_stride}: only ResNets with bottlenecks (resnet50 and larger) can be dilated, "
            f"not {name!r}: give 32."
        )
    dilated = [False, output_stride <= 8, output_stride <= 16]  # of layer2 to layer4: the last first
    return _resnet_layers(torchvision.models.get_model(name, weights=None, replace_stride_with_dilation=dilated))


def _resnet_layers(network: nn.Module) -> nn.Sequential:
    return _sequential([(key, layer) for key, layer in network.named_children() if key not in ("avgpool", "fc")])


def _timm_layers(name: str, weights: str | None) -> nn.Sequential:
    try:
        import timm  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        raise UserError(f"Backbone {name!r} needs timm: install lit-cv[timm].") from None
    try:
        network = timm.create_model(name.removeprefix("timm/"), features_only=True, pretrained=weights == "imagenet")
    except (RuntimeError, AttributeError, OSError) as error:
        raise UserError(f"timm cannot build backbone {name!r}: {error}") from error
    return _sequential(list(network.named_children()))


def _sequential(layers: list[tuple[str, nn.Module]]) -> nn.Sequential:
    sequential = nn.Sequential()
    for name, layer in layers:
        sequential.add_module(name, layer)
    return sequential


def _stages(layers: nn.Sequential) -> list[Stage]:
    """Group the layers by the resolution of their output, measured on an empty image."""
    training, pixels = layers.training, torch.zeros(1, 3, 64, 64)
    layers.eval()
    stages: list[Stage] = []
    with torch.no_grad():
        for name, layer in layers.named_children():
            pixels = layer(pixels)
            stride = 64 // pixels.shape[-1]
            earlier = stages.pop().layers if stages and stages[-1].stride == stride else ()
            stages.append(Stage((*earlier, name), stride, pixels.shape[1]))
    layers.train(training)
    return stages


def _width(layer: nn.Module) -> int:
    """Return the output channels of a block, those of its last convolution."""
    return [part.out_channels for part in layer.modules() if isinstance(part, nn.Conv2d)][-1]


def read_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Read a state dict from torch.hub's cache (``imagenet``, ``imagenet-features``) or a local file."""
    if weights in PUBLISHED:
        if name in TINY or name.removesuffix("_bn") in DARKNETS or (weights == "imagenet-features" and name != "vgg16"):
            raise UserError(f"Backbone {name!r} has no {weights} weights: give null or the path of a state dict.")
        try:
            published = torchvision.models.get_model_weights(name)[PUBLISHED[weights]]
            state = published.get_state_dict(progress=False)
        except OSError as error:
            raise UserError(
                f"Cannot download the ImageNet weights of {name} ({error}): give weights: <path of a state dict>."
            ) from error
        return dict(state)
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"Weights {path} not found: give the path of a state dict, 'imagenet' or null.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zip and the file system raise
        raise UserError(f"Weights {path} cannot be read as a PyTorch state dict: {type(error).__name__}.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"Weights {path} hold no state dict (names to tensors): save model.state_dict() there.")
    return state


def load_weights(layers: nn.Module, state: dict[str, Tensor], prefix: str, source: str) -> None:
    """Load the part of a classification network's state dict that belongs to ``layers``; its classifier may be there.

    Raises:
        UserError: A parameter is missing or has another shape; the first few are named.
    """
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    expected = layers.state_dict()
    wrong = [
        f"{prefix}{key}"
        for key, value in expected.items()
        if not key.endswith("num_batches_tracked") and (key not in own or own[key].shape != value.shape)
    ]
    if wrong:
        raise UserError(
            f"Weights {source} do not fit the backbone: {len(wrong)} parameters are missing or of another shape, "
            f"first {', '.join(wrong[:3])}."
        )
    layers.load_state_dict({key: value for key, value in own.items() if key in expected}, strict=False)
