"""Batch norm with fixed statistics, folded into the convolution before it.

A frozen batch norm is one factor and one summand per channel. Applied as a layer, it reads and writes every activation
two more times; folded into the weights, it costs nothing. The parameters keep their names, so state dicts still fit.
"""

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from lit_cv.errors import UserError

FROZEN_EPS = 1e-5  # the constant that torchvision adds to the variance in its frozen norms


class FoldedBatchNorm2d(FrozenBatchNorm2d):  # type: ignore[misc]  # torchvision has no types
    """A frozen batch norm that the convolution before it applies; it returns its own input unchanged."""

    def __init__(self, num_features: int, eps: float = FROZEN_EPS) -> None:
        super().__init__(num_features, eps)
        self._seen: list[tuple[Tensor, int]] = []
        self._factors: tuple[Tensor, Tensor] = (self.weight, self.bias)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the factor and the summand of each channel, float32 (C,); computed again when a buffer has changed."""
        seen = [(buffer, buffer._version) for buffer in self.buffers()]
        same = len(seen) == len(self._seen) and all(
            new is old and version == known for (new, version), (old, known) in zip(seen, self._seen, strict=True)
        )
        if not same:
            with torch.inference_mode(False):  # validation may come first, and training must be able to use them
                factor = self.weight * (self.running_var + self.eps).rsqrt()
                self._factors = (factor, self.bias - self.running_mean * factor)
            self._seen = seen
        return self._factors

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x


class FoldingConv2d(nn.Conv2d):
    """A convolution that also applies the frozen batch norm after it."""

    norm: tuple[FoldedBatchNorm2d]  # in a tuple, so that its parameters are not registered twice

    def forward(self, x: Tensor) -> Tensor:
        """Return norm(conv(x))."""
        factor, summand = self.norm[0].factors()
        bias = summand if self.bias is None else summand + self.bias * factor
        result: Tensor = self._conv_forward(x, self.weight * factor[:, None, None, None], bias)
        return result


def freeze_batch_norm(module: nn.Module, eps: float | None = FROZEN_EPS, fold: bool = True) -> None:
    """Replace every ``BatchNorm2d`` below ``module`` by a frozen one with its parameters and statistics.

    Args:
        module: Changed in place.
        eps: Constant added to the variance; None: the one that each norm has. The default is the one of torchvision's
            frozen norms, with which its published detectors give their results, also for norms that had another.
        fold: Whether a norm that directly follows a convolution among its siblings is folded into it. The convolution
            must feed nothing else, as in VGG, ResNet and MobileNet.

    Raises:
        UserError: A batch norm is of another kind.
    """
    for parent in list(module.modules()):
        before: nn.Module | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                if type(child) is not nn.BatchNorm2d:
                    raise UserError(f"{type(child).__name__} cannot be frozen: give norm: train.")
                folds = fold and isinstance(before, nn.Conv2d) and before.out_channels == child.num_features
                own = child.eps if eps is None else eps
                frozen = (FoldedBatchNorm2d if folds else FrozenBatchNorm2d)(child.num_features, own)
                frozen.load_state_dict(child.state_dict())
                setattr(parent, name, frozen)
                if folds:
                    _fold(cast(nn.Conv2d, before), frozen)
            before = child


def _fold(convolution: nn.Conv2d, norm: FoldedBatchNorm2d) -> None:
    convolution.__class__ = FoldingConv2d
    cast(FoldingConv2d, convolution).norm = (norm,)


def split_norm_act(module: nn.Module) -> None:
    """Replace every ``BatchNormAct2d`` of timm below ``module`` by a batch norm and, after it, its activation.

    The fused layer is a subclass of batch norm: freezing, and PyTorch's synchronization between processes, replace it
    by another norm and would lose the activation.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and type(child).__name__ == "BatchNormAct2d":
                norm = nn.BatchNorm2d(
                    child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
                )
                norm.load_state_dict(child.state_dict(), strict=False)  # an activation may have parameters, too
                parts = {"norm": norm, **dict(child.named_children())}  # the others are dropout and the activation
                setattr(parent, name, nn.Sequential(OrderedDict(parts)))
