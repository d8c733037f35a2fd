"""Classification networks as backbones: any family by name, cut into stages, with pretrained weights."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.chain import Chain, Stage
from lit_cv.models.backbones.families import TIMM, family_of
from lit_cv.models.backbones.family import Family
from lit_cv.models.backbones.frozen_norm import freeze_batch_norm
from lit_cv.models.backbones.pixels import convert_pixels
from lit_cv.models.backbones.weights import load_weights, read_weights

Norm = Literal["frozen", "train"]


@dataclass(frozen=True)
class Trunk:
    """A classification network without its classifier.

    Attributes:
        name: As given to ``build_trunk``.
        family: Its row in the table of backbones.
        layers: The layers under the names that they have in the network, so that its state dict fits.
        stages: The layers by resolution, finest first.
    """

    name: str
    family: Family
    layers: Chain
    stages: list[Stage]

    def up_to(self, stride: int) -> "Trunk":
        """Leave out the stages coarser than ``stride``."""
        stages = [stage for stage in self.stages if stage.stride <= stride]
        return Trunk(self.name, self.family, self.layers.up_to(stages), stages)

    def freeze(self, trainable_layers: int | None) -> "Trunk":
        """Stop the training of all stages but the last ``trainable_layers`` (None: train all)."""
        if trainable_layers is None:
            return self
        if not 0 <= trainable_layers <= len(self.stages):
            raise UserError(
                f"trainable_layers={trainable_layers}: {self.name} has {len(self.stages)} stages here; "
                f"give 0 to {len(self.stages)}, or null to train all."
            )
        self.layers.freeze(self.stages[: len(self.stages) - trainable_layers])
        return self


def build_trunk(name: str, weights: str | None, norm: Norm, output_stride: int = 32) -> Trunk:
    """Build a network by name and load its weights.

    Args:
        name: One of ``NAMES`` or ``timm/<name>`` (needs the extra ``timm``).
        weights: ``imagenet`` (torchvision's first ImageNet weights, from torch.hub's cache or its server),
            ``imagenet-features`` (of vgg16 alone: those of SSD's authors, for pixels of 0 to 255), the path of a state
            dict of the classification network, or None for random weights.
        norm: ``frozen`` keeps the statistics and the affine parameters of batch norm as they are loaded; ``train``
            trains both. Networks without batch norm (AlexNet, SqueezeNet, plain VGG, tiny) ignore it.
        output_stride: 16 or 8 dilates the last one or two stages of a ResNet instead of halving its map (Chen et al.
            2018, section 3.1); 32 leaves a network as it is.

    Raises:
        UserError: Unknown name, weights that cannot be read or do not fit, no dilation in this network.
    """
    family = family_of(name)
    if output_stride == 32:
        layers = _timm_layers(name, weights) if name.startswith(TIMM) else family.layers(name)
    elif family.dilated is None:
        raise UserError(
            f"output_stride={output_stride}: only ResNets with bottlenecks (resnet50 and larger) can be dilated, "
            f"not {name!r}: give 32."
        )
    else:
        layers = family.dilated(name, output_stride)
    if weights is not None and not (name.startswith(TIMM) and weights == "imagenet"):
        load_weights(layers, read_weights(name, weights), family.prefix, source=weights)
    convert_pixels(next(layers.children()), family.mean, family.std)
    try:
        stages = layers.measure_stages()
    except (RuntimeError, TypeError) as error:  # some networks of timm
        raise UserError(f"Backbone {name!r} is not a plain sequence of layers: choose another.") from error
    if norm == "frozen":
        freeze_batch_norm(layers, family.frozen_eps)
    return Trunk(name, family, layers, stages)


def _timm_layers(name: str, weights: str | None) -> Chain:
    try:
        import timm  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        raise UserError(f"Backbone {name!r} needs timm: install lit-cv[timm].") from None
    try:
        network: nn.Module = timm.create_model(
            name.removeprefix(TIMM), features_only=True, pretrained=weights == "imagenet"
        )
    except (RuntimeError, AttributeError, OSError) as error:
        raise UserError(f"timm cannot build backbone {name!r}: {error}") from error
    return Chain.of(network.named_children())
