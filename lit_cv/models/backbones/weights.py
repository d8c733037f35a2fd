"""Pretrained weights of backbones: published ones, or a local state dict."""

from pathlib import Path

import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of
from lit_cv.models.backbones.family import PUBLISHED
from lit_cv.runs.backbone_weights import backbone_file


def read_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Read a state dict: published weights (``imagenet``, ``imagenet-features``) or a local file.

    Published weights come from a local cache or from the server of torchvision or timm.

    Raises:
        UserError: There are no such weights, or they cannot be read or downloaded.
    """
    if weights not in PUBLISHED:
        return _read_file(backbone_file(weights, name))
    family = family_of(name)
    if weights not in family.published:
        raise UserError(f"Backbone {name!r} has no {weights} weights: give null or the path of a state dict.")
    try:
        return family.download(name, weights)
    except OSError as error:
        raise UserError(
            f"Cannot download the ImageNet weights of {name} ({error}): give weights: <path of a state dict>."
        ) from error


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"Weights {path} not found: give the path of a state dict, 'imagenet' or null.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zip and the file system raise
        raise UserError(f"Weights {path} cannot be read as a PyTorch state dict: {type(error).__name__}.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"Weights {path} hold no state dict (names to tensors): save model.state_dict() there.")
    return state
