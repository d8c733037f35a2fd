"""The run folder: its place and its name. Imports nothing heavy.

A run is `runs/<group>/<run id>/`. Both names follow from the arguments alone: a sweep knows the folder of a run before
it starts, and equal arguments are the same run.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from lit_cv.errors import UserError
from lit_cv.runs.file_kinds import binary_kind
from lit_cv.runs.near import near_run
from lit_cv.runs.settings import merged_arguments, plain, portable, split_arguments

DEFAULT_ROOT = "runs"
DEFAULT_PROJECT = "lit-cv"  # of W&B
NOT_PART_OF_THE_ID = ("run", "resume")  # the place of the results and how a run is continued do not change it
STOP_FILE = "stop"  # in a run's folder: asks the run to end, see lit_cv.training.stop_request


def run_id(args: Sequence[str]) -> str:
    """Return the ten hexadecimal digits that name the run of these arguments.

    Example:
        >>> run_id(["fit", "--trainer.max_steps=5"]) == run_id(["fit", "--trainer.max_steps", "5", "--run.root=x"])
        True
    """
    return _id(merged_arguments(args))


def _id(settings: Mapping[str, Any]) -> str:
    wanted = {key: value for key, value in settings.items() if key.split(".")[0] not in NOT_PART_OF_THE_ID}
    merged = {key: portable(plain(value)) for key, value in wanted.items()}
    return hashlib.sha256(orjson.dumps(merged, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]


def run_group(args: Sequence[str]) -> str:
    """Return `run.group`, or the name of the experiment's file: `experiments/voc/ssd.yaml` gives `voc-ssd`.

    Raises:
        UserError: `run.group` is not the name of one folder.
    """
    return _group(args, merged_arguments(args))


def _group(args: Sequence[str], settings: Mapping[str, Any]) -> str:
    configs = [str(value) for key, value in split_arguments(args) if key == "config"]
    default = "-".join([Path(configs[0]).resolve().parent.name, Path(configs[0]).stem]) if configs else "run"
    group = str(settings.get("run.group") or default)
    if group in (".", "..") or set(group) & {"/", "\0"}:
        raise UserError(f"run.group is {group!r}, but it names one folder; leave out `/`, or set run.root.")
    return group


def run_folder(args: Sequence[str]) -> Path:
    """Return `<root>/<group>/<run id>` for the arguments of a run (`["fit", "--config", ...]`)."""
    settings = merged_arguments(args)
    return Path(str(settings.get("run.root") or DEFAULT_ROOT)) / _group(args, settings) / _id(settings)


def is_finished(folder: Path) -> bool:
    """Tell whether the run of this folder has written its result."""
    return (folder / "result.json").is_file()


def require_run(folder: Path) -> None:
    """Check that a folder is one of a run.

    Raises:
        UserError: It is missing, or has no configuration of a run.
    """
    if (folder / "config.yaml").is_file():
        return
    if kind := binary_kind(folder):
        raise UserError(f"{folder}: {kind}; give the folder of a run (runs/<group>/<run id>).")
    if folder.is_file():
        raise UserError(f"{folder}: is a file; give the folder of a run, or --config {folder}.")
    near = near_run(folder)
    hint = f", such as {near}" if near else " (runs/<group>/<run id>)"
    what = "is no run, it has no config.yaml" if folder.is_dir() else "there is no such folder"
    raise UserError(f"{folder}: {what}; give the folder of a run{hint}.")
