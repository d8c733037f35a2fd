"""From the stages of a backbone to the feature maps of a detector."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool, LastLevelP6P7

from lit_cv.errors import UserError
from lit_cv.models.backbones.stages import Stage
from lit_cv.models.backbones.trunk import Trunk

FINEST_STRIDE = 8


class Pyramid(nn.Module):
    """A backbone with a feature pyramid on some of its stages (Lin et al. 2017).

    Args:
        trunk: The backbone.
        stages: The stages that the pyramid reads, finest first.
        channels: Channels of each map of the pyramid.
        top: Adds further levels.

    Attributes:
        strides: Strides of the stages.
    """

    def __init__(self, trunk: Trunk, stages: Sequence[Stage], channels: int, top: ExtraFPNBlock) -> None:
        super().__init__()
        self.strides = [stage.stride for stage in stages]
        self.body = trunk.layers.taps(stages)
        self.fpn = FeaturePyramidNetwork([stage.channels for stage in stages], channels, top)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to the maps by name, finest first."""
        maps: dict[str, Tensor] = self.fpn(self.body(pixels))
        return maps


def dense_pyramid(trunk: Trunk, trainable_layers: int | None, channels: int) -> tuple[nn.Module, list[int]]:
    """Build a feature pyramid on the stages from stride 8 on, with two further levels on top.

    P3 to P7 of RetinaNet (Lin et al. 2017, "Focal loss for dense object detection", section 4).

    Returns:
        A module that maps pixels (B, 3, H, W) to a dictionary of maps, finest first, and the strides of the maps.
    """
    stages = [stage for stage in trunk.freeze(trainable_layers).stages if stage.stride >= FINEST_STRIDE]
    strides = [stage.stride for stage in stages]
    module = Pyramid(trunk, stages, channels, LastLevelP6P7(channels, channels))
    return module, [*strides, 2 * strides[-1], 4 * strides[-1]]


class SingleMap(nn.Module):
    """A backbone that returns its last map alone, under the key ``"0"``.

    Attributes:
        strides: The stride of the map, in a list.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.strides = [trunk.stages[-1].stride]
        self.body = trunk.layers

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to ``{"0": (B, C, H / stride, W / stride)}``."""
        return {"0": self.body(pixels)}


def single_map(trunk: Trunk, trainable_layers: int | None) -> tuple[SingleMap, int, int]:
    """Build the backbone of Faster R-CNN's paper, with one map at stride 16 ("C4").

    Returns:
        As ``feature_pyramid``.
    """
    trunk = trunk.up_to(16).freeze(trainable_layers)
    return SingleMap(trunk), trunk.stages[-1].channels, 1


def feature_pyramid(trunk: Trunk, trainable_layers: int | None, channels: int) -> tuple[Pyramid, int, int]:
    """Build a feature pyramid (Lin et al. 2017) on the stages at strides 4 to 32, with one pooled map on top.

    MobileNets follow torchvision's detectors: a pyramid on the first block at stride 32 and on the last layer.

    Returns:
        A module that maps pixels (B, 3, H, W) to a dictionary of maps, finest first; the channels of each map; and the
        number of maps.
    """
    trunk = trunk.freeze(trainable_layers)
    if trunk.family.inner_level:
        last = trunk.stages[-1]
        first = last.layers[:1]
        stages = [Stage(first, last.stride, _width(trunk.layers.get_submodule(first[0]))), last]
    else:
        stages = [stage for stage in trunk.stages if stage.stride >= 4]
    return Pyramid(trunk, stages, channels, LastLevelMaxPool()), channels, len(stages) + 1


def tapped(trunk: Trunk, strides: tuple[int, ...]) -> tuple[nn.Module, list[int]]:
    """Build a backbone that returns the maps at the given strides, and list their channels.

    Raises:
        UserError: The backbone has no map at one of the strides.
    """
    stages = [stage for stage in trunk.stages if stage.stride in strides]
    missing = set(strides) - {stage.stride for stage in stages}
    if missing:
        raise UserError(f"Backbone {trunk.name!r} has no map at stride {min(missing)}: choose another.")
    return trunk.layers.taps(stages), [stage.channels for stage in stages]


def _width(layer: nn.Module) -> int:
    """Return the output channels of a block, those of its last convolution."""
    return [part.out_channels for part in layer.modules() if isinstance(part, nn.Conv2d)][-1]
