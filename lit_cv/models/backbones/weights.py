"""Pretrained weights of backbones: torchvision's, or a local state dict."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.families import family_of

PUBLISHED = {"imagenet": "IMAGENET1K_V1", "imagenet-features": "IMAGENET1K_FEATURES"}


def read_weights(name: str, weights: str) -> dict[str, Tensor]:
    """Read a state dict from torch.hub's cache (``imagenet``, ``imagenet-features``) or a local file."""
    if weights in PUBLISHED:
        if weights not in family_of(name).published:
            raise UserError(f"Backbone {name!r} has no {weights} weights: give null or the path of a state dict.")
        try:
            published = torchvision.models.get_model_weights(name)[PUBLISHED[weights]]
            state = published.get_state_dict(progress=False)
        except OSError as error:
            raise UserError(
                f"Cannot download the ImageNet weights of {name} ({error}): give weights: <path of a state dict>."
            ) from error
        return dict(state)
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"Weights {path} not found: give the path of a state dict, 'imagenet' or null.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zip and the file system raise
        raise UserError(f"Weights {path} cannot be read as a PyTorch state dict: {type(error).__name__}.") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"Weights {path} hold no state dict (names to tensors): save model.state_dict() there.")
    return state


def load_weights(layers: nn.Module, state: dict[str, Tensor], prefix: str, source: str) -> None:
    """Load the part of a classification network's state dict that belongs to ``layers``; its classifier may be there.

    Raises:
        UserError: A parameter is missing or has another shape; the first few are named.
    """
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    expected = layers.state_dict()
    wrong = [
        f"{prefix}{key}"
        for key, value in expected.items()
        if not key.endswith("num_batches_tracked") and (key not in own or own[key].shape != value.shape)
    ]
    if wrong:
        raise UserError(
            f"Weights {source} do not fit the backbone: {len(wrong)} parameters are missing or of another shape, "
            f"first {', '.join(wrong[:3])}."
        )
    layers.load_state_dict({key: value for key, value in own.items() if key in expected}, strict=False)
