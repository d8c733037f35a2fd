"""The metric of a run on resampled images, kept beside its predictions until these change."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError
from lit_cv.runs.files import replaced

RESAMPLES = 2000
SEED = 0  # of the one stream of resamples, which all runs share
VERSION = 1  # of how resamples are taken and scored
PREFIX = "resamples-"


@dataclass(frozen=True)
class Resamples:
    """A metric of one run on resampled images.

    Attributes:
        whole: Value on all images.
        values: float64 (R,), value on each resample, NaN where there is nothing to evaluate.
        incomplete: Number of resamples without any object of a class that the whole set has.
        images: Number of images that were resampled.
        names: Digest of their names; runs with the same one have the same images in each resample.
    """

    whole: float
    values: NDArray[np.float64]
    incomplete: int
    images: int
    names: str


def file_of(predictions: Path, metric: str) -> Path:
    """Return the file for a metric, without its ``val/``, in a folder of predictions."""
    return predictions / f"{PREFIX}{quote(metric, safe='')}.npz"


def content_key(predictions: Path) -> str:
    """Return a digest over the content of a folder of predictions and over how resamples are taken."""
    digest = hashlib.blake2b(f"{VERSION} {RESAMPLES} {SEED}".encode(), digest_size=16)
    for file in sorted(predictions.iterdir()):
        if not file.name.startswith((PREFIX, f".{PREFIX}")):
            digest.update(f"{file.name} {file.stat().st_size} ".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def read_resamples(predictions: Path, metric: str) -> Resamples | None:
    """Return what is kept for a metric; None if there is nothing, or it is of other predictions."""
    try:
        with np.load(file_of(predictions, metric)) as file:
            if str(file["key"]) != content_key(predictions):
                return None
            return Resamples(float(file["whole"]), file["values"], int(file["incomplete"]), int(file["images"]),
                             str(file["names"]))  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, TypeError):  # missing, or not a file that this program has written
        return None


def write_resamples(predictions: Path, metric: str, found: Resamples) -> None:
    """Keep the resamples of a metric.

    Raises:
        UserError: The disk is full or read-only.
    """
    try:
        with replaced(file_of(predictions, metric)) as temporary, temporary.open("wb") as file:
            np.savez(file, key=content_key(predictions), **vars(found))
    except OSError as error:
        raise UserError(f"{predictions}: the resamples cannot be kept ({str(error.strerror).lower()}).") from None
