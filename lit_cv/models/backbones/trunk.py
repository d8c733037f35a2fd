"""Classification networks as backbones: any family by name, cut into stages, with pretrained weights."""

import difflib
from dataclasses import dataclass
from typing import Literal

import torch
import torchvision
from torch import nn
from torchvision.models import vgg

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import (
    DARKNETS,
    GOOGLENET_EPS,
    NAMES,
    RESNETS,
    SQUEEZENETS,
    TINY,
    VGG_LAYOUTS,
    alexnet_layers,
    googlenet_layers,
    tiny_layers,
    tiny_vgg_layers,
)
from lit_cv.models.backbones.frozen_norm import FROZEN_EPS, freeze_batch_norm
from lit_cv.models.backbones.weights import load_weights, read_weights

Norm = Literal["frozen", "train"]


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
