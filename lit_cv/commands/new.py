"""`litcv new`: write an experiment and a sweep to start from."""

import argparse
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.commands.starters.shipped import copies_of, refuse_existing, sweeps_of, write_new
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.prose import say

if TYPE_CHECKING:
    from datamodules.forms.form import Form, Task

TASKS = ("detection", "instances", "segmentation", "pose", "captioning")


def add_parser(verbs: Verbs) -> None:
    """Add `new`."""
    example = "litcv new bees/ --task detection\n  litcv new --like voc/faster_rcnn_squeezenet"
    parser = add_verb(verbs, "new", "write an experiment and a sweep for a folder of your own data", example, _run)
    parser.usage = "litcv new FOLDER [--task TASK] [--name NAME] [--weights WEIGHTS] [--out DIR]\n"
    parser.usage += "       litcv new --like EXPERIMENT [NAME] [--out DIR]"
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help="the data, as a labeling tool has exported it")
    parser.add_argument("--task", choices=TASKS, help="what to learn; may be left out if the labels fit one task only")
    parser.add_argument("--name", metavar="NAME", help="name of the experiment (default: that of the folder)")
    weights = "imagenet, none or the path of a state dict (default: imagenet if it can be had)"
    parser.add_argument("--weights", metavar="WEIGHTS", help=weights)
    like = "copy this experiment or sweep of litcv list experiments | sweeps"
    parser.add_argument("--like", metavar="EXPERIMENT", help=like)
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder to write to (default: here)")


def _run(options: argparse.Namespace) -> int:
    if options.like is not None:
        for option in ("task", "weights"):
            if getattr(options, option) is not None:
                raise UsageError(f"litcv new: --{option} is for data of your own and has no effect on --like; omit it.")
        copy_shipped(options.like, options.folder or options.name, options.out)
        return 0
    if options.folder is None:
        raise UsageError(
            "litcv new: name a folder of data, or an experiment to copy with --like; see litcv new --help."
        )
    start(Path(options.folder), options.task, options.name, options.out, options.weights)
    return 0


def copy_shipped(name: str, as_name: str | None, out: Path) -> None:
    """Copy an experiment or a sweep of the package, and print the command that runs it.

    Raises:
        UserError: There is no such file, or a copy would overwrite one.
    """
    files = {out / path: text for path, text in copies_of(name, as_name).items()}
    first, *others = files
    write_new(files, shared=others)
    print("next:")
    if others:
        if out != Path():
            _print_command("cd", str(out))
        _print_command("litcv", "sweep", str(first.relative_to(out)))
        return
    _print_command("litcv", "fit", str(first))
    if sweeps := sweeps_of(name.removeprefix("experiments/").removesuffix(".yaml")):
        print(f"sweeps over it: {', '.join(sweeps)}; copy one with litcv new --like {sweeps[0]}")


def start(folder: Path, task: "Task | None", name: str | None, out: Path, weights: str | None) -> None:
    """Write an experiment and a sweep for the data in a folder, and print the commands that run them.

    Args:
        folder: The data.
        task: What to learn; None: the only task that the data can serve.
        name: Name of the experiment; None: that of the folder.
        out: Folder to write to.
        weights: See `weights_for`.

    Raises:
        UserError: The data has no known form or cannot serve the task, or a file exists.
    """
    from datamodules.forms.recognize import recognize
    from lit_cv.commands.starters.pretrained import weights_for
    from lit_cv.commands.starters.starter import BACKBONE, Starter

    forms = recognize(folder)
    form, task = _chosen(folder, forms, task)
    name = re.sub(r"[^\w-]+", "_", name or folder.resolve().name).strip("_-") or "data"
    file, sweep = out / f"{name}.yaml", out / f"{name}_sweep.yaml"
    refuse_existing((file, sweep))
    starter = Starter(folder, form, task, file, name, weights_for(BACKBONE, weights))
    print(f"{folder}: {form.name}")
    for note in form.notes:
        say(f"note: {note}", error=True)
    write_new({file: starter.experiment(), sweep: starter.sweep()})
    if reason := starter.weights.reason:
        fix = "give --weights the path of a state dict, or set model.network.weights in the file"
        say(f"note: training starts from random weights (weights: null), because {reason}; {fix}.", error=True)
    print("next:")
    _print_command("litcv", "fit", str(file))
    _print_command("litcv", "predict", f"runs/{name}", str(folder / (form.pictures or ("",))[-1]))
    _print_command("litcv", "sweep", str(sweep))
    _print_command("litcv", "report", f"runs/{name}_sweep")


def _chosen(folder: Path, forms: "list[Form]", task: "Task | None") -> "tuple[Form, Task]":
    """Return the form and the task to use; say which forms are left aside."""
    served = list(dict.fromkeys(task for form in forms for task in form.tasks))
    if task is None and len(served) > 1:
        raise UsageError(f"{folder} can serve {', '.join(served)}: choose one with --task.")
    task = task or served[0]
    fitting = [form for form in forms if task in form.tasks]
    if not fitting:
        names = "; ".join(form.name for form in forms)
        raise UserError(f"{folder} ({names}) cannot serve {task}: choose --task {' or '.join(served)}.")
    if len(fitting) > 1:
        others = "; ".join(form.name for form in fitting[1:])
        command = shlex.join(["litcv", "doctor", str(folder)])
        say(f"note: {fitting[0].name} is taken; there is also {others} (see {command}).", error=True)
    return fitting[0], task


def _print_command(*words: str) -> None:
    print(f"  {shlex.join(words)}")
