"""The pixels that a backbone's published weights expect."""

from dataclasses import dataclass

from torch import Tensor, nn

from lit_cv.models.images import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class ConvertPixels:
    """A forward pre-hook that turns pixels normalized with ImageNet's mean and deviation into ones with another.

    All networks normalize their images with ImageNet's mean and deviation for every backbone, so that zeros around
    an image are its mean color. The backbone's first layer converts them.

    Attributes:
        mean: Mean to subtract, per channel, for pixels in [0, 1].
        std: Standard deviation to divide by.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, _: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        """Convert pixels (B, 3, H, W)."""
        pixels = inputs[0]
        rows = pixels.new_tensor((IMAGENET_MEAN, IMAGENET_STD, self.mean, self.std))
        imagenet_mean, imagenet_std, mean, std = rows[..., None, None]
        converted: Tensor = pixels * (imagenet_std / std) + (imagenet_mean - mean) / std
        return converted


def convert_pixels(first: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Let a backbone's first layer convert normalized pixels into those that its weights expect, if they differ."""
    if (mean, std) != (IMAGENET_MEAN, IMAGENET_STD):
        first.register_forward_pre_hook(ConvertPixels(mean, std))
