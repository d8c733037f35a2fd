"""The sources of initial weights: files of a state dict, checkpoints, runs and networks of torchvision."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.models import published
from lit_cv.models.published import BACKGROUND
from lit_cv.runs.initial_weights import TORCHVISION, weights_file
from lit_cv.runs.sameness import digest

HOLDERS = ("state_dict", "model_state_dict", "model")  # keys under which training scripts save a state dict
WRAPPERS = ("module.", "network.", "model.", "_orig_mod.")  # beginnings that all names share: DDP, tasks, compilation


class Source(NamedTuple):
    """The weights of a whole network.

    Attributes:
        name: The file, for messages.
        state: Names to tensors, on the CPU.
        labels: Names of the labels, the background first if there is one; None if they are unknown.
        frozen_eps: Constant that its frozen norms add to the variance; None: that of torchvision's frozen norms.
        digest: SHA-256 digest of the file; None for a file of torchvision, whose name has it.
    """

    name: str
    state: Mapping[str, Tensor]
    labels: Sequence[str] | None
    frozen_eps: float | None = None
    digest: str | None = None


def read_source(value: str) -> Source:
    """Read the weights that a value of ``model.initial_weights`` names; no code of a file is run.

    Raises:
        UserError: They are missing, cannot be read or downloaded, or are no weights.
    """
    path = weights_file(value)
    if path is None:
        return _published(value.removeprefix(TORCHVISION))
    content: Any = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    state, found = _state(content, path), digest(path)
    if "class_names" in content:  # a checkpoint of a run
        labels = content.get("vocabulary") or [BACKGROUND, *content["class_names"]]
        return Source(str(path), state, labels, digest=found)
    name = published.published_as(path.name)
    if name is not None:
        return Source(str(path), state, published.classes_of(name), published.NETWORKS[name], found)
    return Source(str(path), state, None, digest=found)


def _published(name: str) -> Source:
    published.refuse_unknown(name)
    file = published.file_name_of(name)
    try:
        state = published.download(name)
    except OSError as error:
        raise UserError(
            f"model.initial_weights: cannot download {file} of torchvision ({error}); download it elsewhere and give "
            "its path."
        ) from error
    except Exception as error:  # torch.load raises what pickle, zip and the file system raise
        place = Path(torch.hub.get_dir()) / "checkpoints" / file
        raise UserError(f"model.initial_weights: {place} cannot be read ({_short(error)}); delete it.") from error
    return Source(file, state, published.classes_of(name), published.NETWORKS[name])


def _torch(path: Path) -> Any:
    try:
        # The settings that torchvision's training scripts save beside the weights are a plain namespace.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zip and the file system raise
        raise UserError(
            f"model.initial_weights: {path} cannot be read as weights without running code ({_short(error)}); save "
            "network.state_dict() with torch.save."
        ) from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError(
            f"model.initial_weights: {path} needs the package safetensors; install it, or give a .pth file."
        ) from None
    try:
        return load_file(path)
    except Exception as error:  # of the package's own reader and the file system
        raise UserError(
            f"model.initial_weights: {path} cannot be read ({_short(error)}); give another file."
        ) from error


def _state(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict of a file's content, without the prefix that a wrapper gives to all names."""
    for key in HOLDERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if isinstance(content, dict) and any(str(name).startswith("network.") for name in content):
        content = {name: value for name, value in content.items() if str(name).startswith("network.")}  # no metrics
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(
            f"model.initial_weights: {path} holds no state dict (names to tensors); save network.state_dict() there."
        )
    state = {str(name): value for name, value in content.items()}
    while prefix := next((one for one in WRAPPERS if all(name.startswith(one) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _short(error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return reason[:100] or type(error).__name__
