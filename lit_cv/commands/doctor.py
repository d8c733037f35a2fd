"""`litcv doctor CONFIG`: list every defect of an experiment's data, with its file."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UserError

if TYPE_CHECKING:
    from datamodules.defects import Defect


def add_parser(verbs: Verbs) -> None:
    """Add `doctor`."""
    parser = add_verb(verbs, "doctor", "list every defect of an experiment's data, with its file",
                      "litcv doctor experiments/voc/ssd_squeezenet.yaml --data.root=data", _run)  # fmt: skip
    add_config(parser)


def _run(options: argparse.Namespace) -> int:
    refuse_missing_config(["--config", str(options.config)])
    return run_doctor(options.config, options.overrides)


def run_doctor(config: Path, overrides: Sequence[str]) -> int:
    """Print each defect as `file: reason and fix`, then the notes, then the number of each kind.

    Args:
        config: An experiment's YAML file.
        overrides: Dotted options, as for `fit`.

    Returns:
        0 if there is no defect, else 1. Notes do not count.

    Raises:
        UserError: Bad options, or a DataModule from outside this project.
    """
    from datamodules.base import DataModule
    from datamodules.doctor import examine
    from lit_cv.training.experiment import parsed
    from lit_cv.training.from_data import data_module

    data = data_module(parsed(["fit", "--config", str(config), *overrides]).fit)
    if not isinstance(data, DataModule):
        raise UserError(f"{config}: {type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
    data.fetch()
    images, found = examine(data)
    defects, notes = ([one for one in found if one.note is kind] for kind in (False, True))
    for defect in defects:
        print(f"{defect.file}: {defect.what}")
    for note in notes:
        print(f"note: {note.file}: {note.what}")
    where = ", ".join(f"{split} {count}" for split, count in images.items()) or "none"
    told = f"notes: {_counted(notes)}; " if notes else ""
    print(f"{_counted(defects) or 'no defect found'}; {told}images: {where}")
    return 1 if defects else 0


def _counted(found: Sequence["Defect"]) -> str:
    """Return the number of each kind, the most frequent first."""
    return ", ".join(f"{kind}: {count}" for kind, count in Counter(one.kind for one in found).most_common())
