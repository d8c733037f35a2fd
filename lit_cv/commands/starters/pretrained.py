"""Whether the ImageNet weights of a backbone can be had on this machine."""

import threading
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse

from lit_cv.errors import UserError

PATIENCE = 2.0  # seconds


class Weights(NamedTuple):
    """The setting ``weights`` of a backbone.

    Attributes:
        value: ``imagenet``, the path of a state dict, or ``null``.
        reason: A sentence that says why it is null, although nobody asked for this; empty otherwise.
    """

    value: str
    reason: str = ""


def weights_for(backbone: str, wanted: str | None) -> Weights:
    """Return the weights that an experiment can start from.

    Args:
        backbone: A network of torchvision.
        wanted: ``imagenet``, ``none`` or a path; None: ImageNet's, if they are in torch's cache or can be downloaded.

    Raises:
        UserError: There is no file at the path.
    """
    if wanted in ("none", "null"):
        return Weights("null")
    if wanted not in (None, "imagenet"):
        if not Path(wanted).is_file():
            raise UserError(f"--weights: there is no file {wanted}; give imagenet, none or the path of a state dict.")
        return Weights(wanted)
    import torch
    from torchvision.models import get_model_weights

    url = get_model_weights(backbone)["IMAGENET1K_V1"].url
    name = Path(urlparse(url).path).name
    cached = Path(torch.hub.get_dir()) / "checkpoints" / name
    if wanted or cached.is_file() or _reachable(url):
        return Weights("imagenet")
    return Weights("null", f"{name} is not in {cached.parent}, and {urlparse(url).netloc} cannot be reached")


def _reachable(url: str) -> bool:
    """Return whether a server answers in time; the name of a host may take longer to look up than any timeout."""
    answers: list[int] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE) as answer:
                answers.append(answer.status)
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(answers)
