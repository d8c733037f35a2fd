"""The file behind a value of `model.initial_weights`. Imports nothing heavy."""

import zipfile
from pathlib import Path

from lit_cv.errors import UserError
from lit_cv.runs.folder import is_finished, require_run

RUN, TORCHVISION = "run:", "torchvision:"
CHECKPOINTS = ("best.ckpt", "last.ckpt")  # the first that exists


def weights_file(value: str) -> Path | None:
    """Return the file of weights that a value names; None if torchvision publishes them.

    Args:
        value: The path of a file, ``run:`` and the folder of a finished run (its best checkpoint, else its last one),
            or ``torchvision:`` and the name of a network. The folder of a run is also accepted without ``run:``.

    Raises:
        UserError: There is no such file, or the run is missing, unfinished or without a checkpoint.
    """
    if value.startswith(TORCHVISION):
        return None
    if not value.startswith(RUN) and not Path(value).is_dir():
        if Path(value).is_file():
            return Path(value)
        raise UserError(
            f"model.initial_weights: there is no file {value}; give the path of a state dict or checkpoint, "
            "run:<folder of a run>, torchvision:<name> or null."
        )
    folder = Path(value.removeprefix(RUN))
    try:
        require_run(folder)
    except UserError as error:
        raise UserError(f"model.initial_weights: {error}") from None
    found = next((path for name in CHECKPOINTS if (path := folder / "checkpoints" / name).is_file()), None)
    if found is None:
        raise UserError(f"model.initial_weights: run {folder} has no checkpoint; train it, or give another run.")
    if not is_finished(folder):
        raise UserError(
            f"model.initial_weights: run {folder} is not finished, so its weights can still change; finish it, or name "
            f"the file itself ({found})."
        )
    if not zipfile.is_zipfile(found):
        raise UserError(f"model.initial_weights: {found} is damaged or cut off; restore it, or give another run.")
    return found
