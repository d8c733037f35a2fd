"""Stages of a backbone, and backbones whose layers run one after the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter


@dataclass(frozen=True)
class Stage:
    """Consecutive layers whose outputs have one resolution.

    Attributes:
        layers: Their names in the backbone, first to last.
        stride: Pixels of the image between two cells of the output.
        channels: Channels of the output.
    """

    layers: tuple[str, ...]
    stride: int
    channels: int


class Chain(nn.Sequential):
    """Layers that run one after the other, under the names that they have in the classification network."""

    @classmethod
    def of(cls, layers: Iterable[tuple[str, nn.Module]]) -> "Chain":
        """Build a chain of named layers."""
        chain = cls()
        for name, layer in layers:
            chain.add_module(name, layer)
        return chain

    def measure_stages(self) -> list[Stage]:
        """Group the layers by the resolution of their output, measured on an empty image; finest first."""
        training, pixels = self.training, torch.zeros(1, 3, 64, 64)
        self.eval()
        stages: list[Stage] = []
        with torch.no_grad():
            for name, layer in self.named_children():
                pixels = layer(pixels)
                stride = 64 // pixels.shape[-1]
                earlier = stages.pop().layers if stages and stages[-1].stride == stride else ()
                stages.append(Stage((*earlier, name), stride, pixels.shape[1]))
        self.train(training)
        return stages

    def up_to(self, stages: Sequence[Stage]) -> "Chain":
        """Keep the layers of the given stages alone."""
        names = {name for stage in stages for name in stage.layers}
        return Chain.of((name, layer) for name, layer in self.named_children() if name in names)

    def freeze(self, stages: Sequence[Stage]) -> None:
        """Stop the training of the given stages."""
        for stage in stages:
            for name in stage.layers:
                self.get_submodule(name).requires_grad_(False)

    def taps(self, stages: Sequence[Stage]) -> nn.Module:
        """Build a module that maps pixels (B, 3, H, W) to the outputs of the stages: ``"0"``, ``"1"``, ... in order.

        Layers after the last of them are left out.
        """
        names = {stage.layers[-1]: str(level) for level, stage in enumerate(stages)}
        module: nn.Module = IntermediateLayerGetter(self, names)
        return module
