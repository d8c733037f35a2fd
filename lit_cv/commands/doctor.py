"""`litcv doctor CONFIG`: list every defect of an experiment's data, with its file."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UserError


def add_parser(verbs: Verbs) -> None:
    """Add `doctor`."""
    parser = add_verb(verbs, "doctor", "list every defect of an experiment's data, with its file",
                      "litcv doctor experiments/voc/ssd_squeezenet.yaml --data.root=data", _run)  # fmt: skip
    add_config(parser)


def _run(options: argparse.Namespace) -> int:
    refuse_missing_config(["--config", str(options.config)])
    return run_doctor(options.config, options.overrides)


def run_doctor(config: Path, overrides: Sequence[str]) -> int:
    """Print each defect as `file: reason and fix`, then the number of defects of each kind.

    Args:
        config: An experiment's YAML file.
        overrides: Dotted options, as for `fit`.

    Returns:
        0 if there is no defect, else 1.

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
    images, defects = examine(data)
    for defect in defects:
        print(f"{defect.file}: {defect.what}")
    where = ", ".join(f"{split} {count}" for split, count in images.items()) or "none"
    kinds = Counter(defect.kind for defect in defects)
    found = ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common()) or "no defect found"
    print(f"{found}; images: {where}")
    return 1 if defects else 0
