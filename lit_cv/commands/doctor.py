"""`litcv doctor CONFIG | FOLDER`: list every defect of an experiment's data, or of a folder's, with its file."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.file_kinds import binary_kind
from lit_cv.runs.near import did_you_mean_path

if TYPE_CHECKING:
    from datamodules.base import DataModule
    from datamodules.defects import Defect
    from datamodules.forms.form import Form, Task


def add_parser(verbs: Verbs) -> None:
    """Add `doctor`."""
    parser = add_verb(verbs, "doctor", "recognize the form of a folder's data; list every defect with its file",
                      "litcv doctor bees/\n  litcv doctor experiments/voc/ssd_squeezenet.yaml --data.root=data",
                      _run)  # fmt: skip
    add_config(parser, "an experiment's YAML file, or a folder of data")


def _run(options: argparse.Namespace) -> int:
    if options.config.is_dir():
        if options.overrides:
            raise UsageError(
                f"litcv doctor {options.config}: {options.overrides[0]} is a setting, but a folder has none: write an "
                "experiment with litcv new and examine that."
            )
        return examine_folder(options.config)
    if not options.config.exists() and not options.config.suffix:
        raise UserError(f"{options.config}: there is no such file or folder{did_you_mean_path(options.config) or '.'}")
    if kind := binary_kind(options.config):
        raise UserError(f"{options.config}: {kind}; give a folder of data, or the YAML file of an experiment.")
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
    from lit_cv.training.experiment import parsed
    from lit_cv.training.from_data import data_module

    data = data_module(parsed(["fit", "--config", str(config), *overrides]).fit)
    if not isinstance(data, DataModule):
        raise UserError(f"{config}: {type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
    return _report(data)


def examine_folder(folder: Path) -> int:
    """Print the forms that a folder's data has with their data blocks as YAML, then the defects, as `run_doctor` does.

    Returns:
        0 if no form has a defect, else 1.

    Raises:
        UserError: The data has no known form.
    """
    from datamodules.forms.recognize import recognize
    from lit_cv.training.from_data import module_of

    forms = recognize(folder)
    print("---\n".join(_documents(forms)), end="", flush=True)
    codes = []
    for form in forms:
        for task in _examined(form):
            print(f"---\n# {form.name}, {task}:", flush=True)
            codes.append(_report(module_of(form.data[task])))
    return max(codes)


def _documents(forms: "Sequence[Form]") -> Iterator[str]:
    """Yield the data block of each form and task as a YAML document."""
    from datamodules.forms.form import as_yaml

    for form in forms:
        notes = "".join(f"# {note}\n" for note in form.notes)
        for task, block in form.data.items():
            yield f"# {form.name}: {task}\n{as_yaml(block)}{notes}"


def _examined(form: "Form") -> "list[Task]":
    """Return the tasks whose data to examine: boxes are examined together with the masks or joints of the objects."""
    richer = {"instances", "pose"} & set(form.tasks)
    return [task for task in form.tasks if not (task == "detection" and richer)]


def _report(data: "DataModule[Any]") -> int:
    """Print the defects of a data set, its notes and the numbers; return 1 if there is a defect."""
    from datamodules.doctor import examine

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
