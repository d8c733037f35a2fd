"""The networks of timm as backbones, by timm's own description of their feature maps."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.errors import UserError
from lit_cv.models.backbones.frozen_norm import freeze_batch_norm, split_norm_act
from lit_cv.models.backbones.pixels import convert_pixels
from lit_cv.models.backbones.stages import Layers, Stage
from lit_cv.models.backbones.state_dicts import load_weights, refuse_whole_network

TIMM = "timm/"  # beginning of the names of timm's networks
# Maps by the network's own ``forward_intermediates``: the same as by default, but under the keys of the classifier.
FEATURES = {"features_only": True, "feature_cls": "getter"}


class PaddedConv2d(nn.Conv2d):
    """timm's convolution with TensorFlow's padding "SAME", on sides that are multiples of its stride.

    There the padding is the same for all sizes. timm computes it from the size, and many such layers become expressions
    that are too long for ``torch.export``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of ``x``, (B, C, H, W), as (B, D, H / stride, W / stride)."""
        zeros: list[int] = []
        for side in (1, 0):  # F.pad takes the last axis first
            total = max(self.dilation[side] * (self.kernel_size[side] - 1) + 1 - self.stride[side], 0)
            zeros += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, zeros), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class _Maps(nn.Module):
    """The feature maps of a network of timm.

    Images whose sides are not multiples of the coarsest stride get zeros at the right and the bottom, and their maps
    are cut to the cells of the image, so that a map has ceil(side / stride) cells and every network takes every size.

    Args:
        network: The network, with ``forward_intermediates``.
        indices: The stages, finest first, and the place of each one's map among those of ``forward_intermediates``.
        multiple: Largest stride of the complete network.
    """

    def __init__(self, network: Any, indices: dict[Stage, int], multiple: int) -> None:
        super().__init__()
        self.network = network
        self._indices, self._multiple = indices, multiple
        convert_pixels(self, *(tuple(network.pretrained_cfg[key]) for key in ("mean", "std")))

    def maps(self, pixels: Tensor, stages: Sequence[Stage]) -> list[Tensor]:
        """Compute the maps (B, C, H / stride, W / stride) of pixels (B, 3, H, W)."""
        height, width = pixels.shape[-2:]
        below, right = -height % self._multiple, -width % self._multiple
        maps: list[Tensor] = self.network.forward_intermediates(
            F.pad(pixels, (0, right, 0, below)) if below or right else pixels,
            indices=[self._indices[stage] for stage in stages],
            output_fmt="NCHW",
            intermediates_only=True,
        )
        if not (below or right):
            return maps
        sides = [(-(-height // stage.stride), -(-width // stage.stride)) for stage in stages]
        return [level[..., :rows, :columns] for level, (rows, columns) in zip(maps, sides, strict=True)]


class TimmLayers(_Maps, Layers):
    """A hierarchical network of timm without its classifier.

    ``norm: frozen`` freezes batch norms only, each with its own constant, also where timm fuses them with an
    activation. Networks with other norms (ConvNeXt, Swin) ignore it.

    Args:
        name: ``timm/<name>``.
        network: See ``_Maps``.
        indices: See ``_Maps``.
        multiple: See ``_Maps``.
    """

    def __init__(self, name: str, network: Any, indices: dict[Stage, int], multiple: int) -> None:
        super().__init__(network, indices, multiple)
        self._name, self._loaded = name, False
        self._needs: dict[Stage, set[str]] = {}  # names of the parameters that a stage's map depends on
        self._frozen: set[str] = set()

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the last map of pixels (B, 3, H, W)."""
        return self.maps(pixels, list(self._indices)[-1:])[0]

    def load(self, state: dict[str, Tensor], prefix: str, source: str) -> None:
        """See ``Layers``; keys that the network does not have are refused, too."""
        known = _create(self._name).state_dict()
        unknown = [key for key in state if key not in known]
        if unknown:
            refuse_whole_network(state, source)
            raise UserError(
                f"Weights {source} do not fit the backbone: it has no {', '.join(unknown[:3])} "
                f"({len(unknown)} unknown keys); give a state dict of this very network."
            )
        load_weights(self.network, state, prefix, source)
        self._loaded = True

    def finish(self) -> list[Stage]:
        """Check timm's description on a small image, and find the parameters of each stage; see ``Layers``.

        Raises:
            UserError: The network does not take images of this size, or its maps do not fit their strides.
        """
        split_norm_act(self.network)
        for layer in self.network.modules():
            if type(layer).__name__ == "Conv2dSame":  # sides are multiples of all strides, see ``_Maps``
                layer.__class__ = PaddedConv2d
        stages, training = list(self._indices), self.training
        height, width = 2 * self._multiple, 3 * self._multiple
        expected = [(stage.channels, height // stage.stride, width // stage.stride) for stage in stages]
        try:
            with torch.enable_grad():
                maps = self.eval().maps(torch.zeros(1, 3, height, width), stages)
        except Exception as error:  # networks with a fixed size check it in their own ways
            raise UserError(self._refusal()) from error
        if [level.shape[1:] for level in maps] != expected:
            raise UserError(self._refusal())
        self.train(training)
        names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        for stage, level in zip(stages, maps, strict=True):
            self._needs[stage] = {names[key] for key in _leaves(level) if key in names}
        self._train_only(stages[-1:])
        return stages

    def _refusal(self) -> str:
        return (
            f"Backbone {self._name!r} does not take images of every size: choose another, such as "
            "timm/swin_tiny_patch4_window7_224 or timm/convnext_tiny."
        )

    def freeze_norms(self, eps: float | None) -> None:
        """See ``Layers``.

        timm starts the last norm of many residual blocks at 0. Frozen there it would block them for good: it gets 1.
        """
        for layer in self.network.modules() if not self._loaded else ():
            if isinstance(layer, nn.BatchNorm2d) and layer.affine and not layer.weight.any():
                nn.init.ones_(layer.weight)
        freeze_batch_norm(self.network, eps, fold=False)

    def up_to(self, stages: Sequence[Stage]) -> "TimmLayers":
        """See ``Layers``; this network itself loses the other layers."""
        kept = {stage: self._indices[stage] for stage in stages}
        self.network.prune_intermediate_layers(list(kept.values()), prune_norm=True)
        layers = TimmLayers(self._name, self.network, kept, self._multiple)
        layers._needs, layers._frozen = self._needs, self._frozen
        layers._train_only(stages[-1:])
        return layers

    def parameters_of(self, stages: Sequence[Stage]) -> Iterator[nn.Parameter]:
        """See ``Layers``: all parameters that the maps of the stages depend on."""
        needed = set().union(*(self._needs[stage] for stage in stages))
        return (parameter for name, parameter in self.network.named_parameters() if name in needed)

    def freeze(self, stages: Sequence[Stage]) -> None:
        """See ``Layers``; all parameters that the maps of the stages depend on are frozen."""
        self._frozen = set().union(*(self._needs[stage] for stage in stages))
        self._train_only(list(self._indices)[-1:])

    def taps(self, stages: Sequence[Stage]) -> nn.Module:
        """See ``Layers``."""
        layers = self.up_to([stage for stage in self._indices if stage.stride <= stages[-1].stride])
        layers._train_only(stages)
        return TimmTaps(layers.network, {stage: self._indices[stage] for stage in stages}, self._multiple)

    def _train_only(self, stages: Sequence[Stage]) -> None:
        """Leave out of training what no map of these stages depends on: distributed training expects its gradient."""
        needed = set().union(*(self._needs[stage] for stage in stages)) - self._frozen
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in needed)


class TimmTaps(_Maps):
    """Some maps of a network of timm."""

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map pixels (B, 3, H, W) to the maps ``"0"``, ``"1"``, ..., finest first."""
        return {str(level): map for level, map in enumerate(self.maps(pixels, list(self._indices)))}


def timm_layers(name: str, output_stride: int = 32) -> TimmLayers:
    """Build a network of timm with random weights.

    Args:
        name: ``timm/<name>``.
        output_stride: 16 or 8 dilates the last one or two stages, in networks for which timm has that option.

    Raises:
        UserError: timm is not installed, does not know the name or has no dilation for it; or the network has no maps
            at several resolutions.
    """
    features = _create(name, **FEATURES)
    signature = inspect.signature(type(features.model).__init__).parameters
    options: dict[str, Any] = {"strict_img_size": False} if "strict_img_size" in signature else {}
    if output_stride != 32:
        if "output_stride" not in signature:
            raise UserError(f"output_stride={output_stride}: timm cannot dilate {name!r}: give 32.")
        options["output_stride"] = output_stride
    if options:
        features = _create(name, **FEATURES, **options)
    indices = _stages(features.feature_info)
    if len(indices) < 2:
        raise UserError(
            f"Backbone {name!r} has maps at one resolution alone (stride {next(iter(indices)).stride}): choose a "
            "network with stages, such as timm/swin_tiny_patch4_window7_224 or timm/convnext_tiny."
        )
    multiple = max(stage.stride for stage in indices)
    return TimmLayers(name, features.model, indices, multiple)


def timm_weights(name: str, _: str) -> dict[str, Tensor]:
    """Return the weights that timm publishes for a network, as a state dict of the classifier."""
    return dict(_create(name, pretrained=True).state_dict())


def _create(name: str, **options: Any) -> Any:
    try:
        import timm
    except ModuleNotFoundError:
        raise UserError(f"Backbone {name!r} needs timm: install lit-cv[timm].") from None
    try:
        return timm.create_model(name.removeprefix(TIMM), **options)
    except Exception as error:  # each network of timm checks its options in its own way
        if isinstance(error, OSError) and "pretrained" in options:
            raise  # ``read_weights`` explains it
        raise UserError(f"timm cannot build backbone {name!r}: {error}") from error


def _stages(info: Any) -> dict[Stage, int]:
    """Return the last map at each resolution, finest first, with its index among the network's maps."""
    last: dict[int, tuple[Stage, int]] = {}
    for index in info.out_indices:
        stride = info.reduction(index)
        last[stride] = (Stage((f"network.{info.module_name(index)}",), stride, info.channels(index)), index)
    return dict(last.values())


def _leaves(output: Tensor) -> set[int]:
    """Return the ids of the parameters that a tensor was computed from."""
    found, seen, waiting = set(), set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [before for before, _ in node.next_functions]
    return found
