"""Classification networks as backbones: any family by name, cut into stages, with pretrained weights."""

from dataclasses import dataclass
from typing import Literal

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of
from lit_cv.models.backbones.family import Family
from lit_cv.models.backbones.pixels import convert_pixels
from lit_cv.models.backbones.stages import Layers, Stage
from lit_cv.models.backbones.weights import read_weights

Norm = Literal["frozen", "train"]


@dataclass(frozen=True)
class Trunk:
    """A classification network without its classifier.

    Each parameter of a stage gets the attribute ``stage``, the number of the first stage that needs it, from 0.

    Attributes:
        name: As given to ``build_trunk``.
        family: Its row in the table of backbones.
        layers: The layers under the names that they have in the network, so that its state dict fits.
        stages: The layers by resolution, finest first.
    """

    name: str
    family: Family
    layers: Layers
    stages: list[Stage]

    def __post_init__(self) -> None:
        """Number the parameters."""
        for last in reversed(range(len(self.stages))):
            for parameter in self.layers.parameters_of(self.stages[: last + 1]):
                parameter.stage = last  # type: ignore[attr-defined]

    def up_to(self, stride: int) -> "Trunk":
        """Leave out the stages coarser than ``stride``.

        Raises:
            UserError: All stages are coarser.
        """
        stages = [stage for stage in self.stages if stage.stride <= stride]
        if not stages:
            strides = ", ".join(str(stage.stride) for stage in self.stages)
            raise UserError(
                f"Backbone {self.name!r} has no map at stride {stride} or finer, only at {strides}: choose another."
            )
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
        name: One of ``NAMES``, or ``timm/<name>`` (needs the extra ``timm``) for a network of timm that has maps at
            several resolutions and takes images of every size.
        weights: ``imagenet`` (torchvision's first ImageNet weights, or the ones that timm publishes under this name;
            from a local cache or their server), ``imagenet-features`` (only vgg16: those of SSD's authors, for pixels
            of 0 to 255), the path of a state dict of the classification network, or None for random weights.
        norm: ``frozen`` keeps the statistics and the affine parameters of batch norm as they are loaded; ``train``
            trains both. Networks without batch norm (AlexNet, SqueezeNet, plain VGG, tiny, ConvNeXt, Swin) ignore it.
        output_stride: 16 or 8 dilates the last one or two stages of a ResNet, or of a network for which timm has that
            option, instead of halving the map (Chen et al. 2018, section 3.1); 32 leaves a network as it is.

    Raises:
        UserError: Unknown name, a network without maps at several resolutions, weights that cannot be read or do not
            fit, no dilation in this network.
    """
    family = family_of(name)
    if output_stride == 32:
        layers = family.layers(name)
    elif family.dilated is None:
        raise UserError(
            f"output_stride={output_stride}: only ResNets with bottlenecks (resnet50 and larger) can be dilated, "
            f"not {name!r}: give 32."
        )
    else:
        layers = family.dilated(name, output_stride)
    if not isinstance(layers, Layers):
        raise UserError(f"Backbone {name!r}: its `layers` returns a {type(layers).__name__}; return a Chain of layers.")
    if weights is not None:
        state = {family.renamed(key): value for key, value in read_weights(name, weights).items()}
        layers.load(state, family.prefix, source=weights)
    convert_pixels(next(layers.children()), family.mean, family.std)
    stages = layers.finish()
    if norm == "frozen":
        layers.freeze_norms(family.frozen_eps)
    return Trunk(name, family, layers, stages)
