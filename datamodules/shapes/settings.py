"""Settings of generated data, and functions that write it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.loading.new_folder import new_folder
from lit_cv.errors import UserError


@dataclass(frozen=True)
class Shapes:
    """Settings of a generated data set.

    Attributes:
        train: Number of training images.
        val: Number of validation images.
        size: Width and height of an image in pixels, >= 32.
        seed: Seed of the scenes: same settings, same bytes. Independent of a run's seed, so that runs share their data.
        touching: Probability that a shape after the first has the class of the one before and touches it.
    """

    train: int = 400
    val: int = 100
    size: int = 128
    seed: int = 0
    touching: float = 0.0


def write_once(folder: Path, layout: dict[str, Any], settings: Shapes, write: Callable[[Path], None]) -> Path:
    """Generate a folder under a temporary name and rename it, unless it exists already.

    Args:
        folder: The folder; missing, empty, or written before with the same settings.
        layout: Describes the folder's content, together with the settings.
        settings: Settings of the content.
        write: Fills the folder that it receives.

    Returns:
        ``folder``.

    Raises:
        UserError: If the folder has other content, or a setting is out of range.
    """
    values = asdict(settings)
    if not settings.touching:
        del values["touching"]  # as in data sets that were written before there was this setting
    described = json.dumps({**layout, **values}, indent=2) + "\n"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give the name of a folder.")
    if folder.is_dir() and any(folder.iterdir()):
        _check_present(folder, described)
        return folder
    if settings.size < 32 or settings.train < 1 or settings.val < 1 or settings.seed < 0:
        raise UserError(f"{settings}: size must be at least 32, train and val at least 1, and seed at least 0.")
    if not 0 <= settings.touching <= 1:
        raise UserError(f"shapes.touching={settings.touching}: is a probability; give a number from 0 to 1.")
    with new_folder(folder) as temporary:
        write(temporary)
        (temporary / "shapes.json").write_text(described)
    _check_present(folder, described)  # another process may have been faster
    return folder


def write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, uint8 (H, W, 3) RGB, as JPEG."""
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])


def _check_present(folder: Path, described: str) -> None:
    marker = folder / "shapes.json"
    if not marker.exists():
        raise UserError(f"{folder} is not a generated data set: choose another data.root, or set data.source to local.")
    if marker.read_text() != described:
        raise UserError(
            f"{folder} was generated with other settings or by another version ({marker}): choose another folder or "
            "delete it."
        )
