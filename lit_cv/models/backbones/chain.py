"""Backbones whose layers run one after the other."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter

from lit_cv.errors import UserError
from lit_cv.models.backbones.frozen_norm import freeze_batch_norm
from lit_cv.models.backbones.stages import Layers, Stage
from lit_cv.models.backbones.state_dicts import load_weights


class Chain(nn.Sequential, Layers):
    """Layers that run one after the other, under the names that they have in the classification network."""

    @classmethod
    def of(cls, layers: Iterable[tuple[str, nn.Module]]) -> "Chain":
        """Build a chain of named layers."""
        chain = cls()
        for name, layer in layers:
            chain.add_module(name, layer)
        return chain

    def load(self, state: dict[str, Tensor], prefix: str, source: str) -> None:
        """See ``Layers``."""
        load_weights(self, state, prefix, source)

    def finish(self) -> list[Stage]:
        """Group the layers by the resolution of their output, see ``Layers``."""
        training, pixels = self.training, torch.zeros(1, 3, 64, 64)
        self.eval()
        stages: list[Stage] = []
        with torch.no_grad():
            for name, layer in self.named_children():
                pixels = layer(pixels)
                if pixels.ndim != 4:
                    raise UserError(
                        f"Layer {name!r} of the backbone returns {tuple(pixels.shape)} and no map (B, C, H, W): leave "
                        "out the classifier and the pooling before it."
                    )
                stride = 64 // pixels.shape[-1]
                earlier = stages.pop().layers if stages and stages[-1].stride == stride else ()
                stages.append(Stage((*earlier, name), stride, pixels.shape[1]))
        self.train(training)
        return stages

    def freeze_norms(self, eps: float | None) -> None:
        """See ``Layers``."""
        freeze_batch_norm(self, eps)

    def up_to(self, stages: Sequence[Stage]) -> "Chain":
        """See ``Layers``."""
        names = {name for stage in stages for name in stage.layers}
        return Chain.of((name, layer) for name, layer in self.named_children() if name in names)

    def parameters_of(self, stages: Sequence[Stage]) -> Iterator[nn.Parameter]:
        """See ``Layers``."""
        for stage in stages:
            for name in stage.layers:
                yield from self.get_submodule(name).parameters()

    def freeze(self, stages: Sequence[Stage]) -> None:
        """See ``Layers``."""
        for parameter in self.parameters_of(stages):
            parameter.requires_grad_(False)

    def taps(self, stages: Sequence[Stage]) -> nn.Module:
        """See ``Layers``."""
        names = {stage.layers[-1]: str(level) for level, stage in enumerate(stages)}
        module: nn.Module = IntermediateLayerGetter(self, names)
        return module
