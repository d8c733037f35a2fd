"""`litcv doctor CONFIG`: every defect of an experiment's data, with its file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from datamodules.base import DataModule
from datamodules.doctor import examine
from lit_cv.errors import UserError
from lit_cv.training.experiment import data_module, parsed


def run_doctor(config: Path, overrides: Sequence[str]) -> int:
    """Print each defect as `file: what is wrong and how to mend it`, then how many there are of each kind.

    Args:
        config: an experiment's YAML.
        overrides: dotted options, as for `fit`.

    Returns:
        0 when nothing was found, else 1.

    Raises:
        UserError: bad options, or data that is not the project's.
    """
    data = data_module(parsed(["fit", "--config", str(config), *overrides]))
    if not isinstance(data, DataModule):
        raise UserError(f"{config}: {type(data).__name__} is no DataModule of the project, which the doctor needs.")
    data.fetch()
    images, defects = examine(data)
    for defect in defects:
        print(f"{defect.file}: {defect.what}")
    where = ", ".join(f"{split} {count}" for split, count in images.items()) or "none"
    kinds = Counter(defect.kind for defect in defects)
    found = ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common()) or "no defect found"
    print(f"{found}; images: {where}")
    return 1 if defects else 0
