"""The run folder: where a run lives and what it is called. Imports nothing heavy.

A run is `runs/<group>/<run id>/`. Both names follow from the arguments alone, so that a sweep knows
where a run will be before it is started, and the same arguments always mean the same run.
"""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from lit_cv.errors import UserError

DEFAULT_ROOT = "runs"
DEFAULT_PROJECT = "lit-cv"  # of W&B
NOT_PART_OF_THE_ID = ("run", "resume")  # where results go and how a run is continued do not change it


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: the file is missing, is not YAML, or holds no mapping.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give the path of a YAML file.")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML ({reason}); mend the file.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no `key: value` mapping; write one setting a line.")
    return content


def split_arguments(args: Sequence[str]) -> list[tuple[str, Any]]:
    """Split `fit --config x.yaml --a.b=1 --flag` into `[("config", "x.yaml"), ("a.b", 1), ("flag", True)]`.

    The subcommand (and any other bare word) is left out; values are read as YAML scalars, lists or mappings.
    """
    pairs: list[tuple[str, Any]] = []
    waiting = False
    for word in args:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            pairs.append((key, _value(value) if equals else True))
            waiting = not equals
        elif word == "-c":
            pairs.append(("config", True))
            waiting = True
        elif waiting:
            pairs[-1] = (pairs[-1][0], _value(word))
            waiting = False
    return pairs


def merged_arguments(args: Sequence[str]) -> dict[str, Any]:
    """Merge the config files and the dotted overrides of a command line into flat `{"model.network.backbone": ...}`.

    `init_args` levels are left out of the keys, as on the command line. Later values win.

    Raises:
        UserError: a config file cannot be read.
    """
    merged: dict[str, Any] = {}
    for key, value in split_arguments(args):
        new = read_yaml(Path(str(value))) if key == "config" else {key: value}
        merged.update(_flatten(new))
    return merged


def run_id(args: Sequence[str]) -> str:
    """Return the ten hexadecimal digits that name the run which these arguments define.

    Example:
        >>> run_id(["fit", "--trainer.max_steps=5"]) == run_id(["fit", "--trainer.max_steps", "5", "--run.root=x"])
        True
    """
    settings = merged_arguments(args).items()
    merged = {key: _whole(value) for key, value in settings if key.split(".")[0] not in NOT_PART_OF_THE_ID}
    return hashlib.sha256(orjson.dumps(merged, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]


def run_group(args: Sequence[str]) -> str:
    """Return `run.group`, or the name of the experiment's file: `experiments/voc/ssd.yaml` gives `voc-ssd`."""
    configs = [str(value) for key, value in split_arguments(args) if key == "config"]
    default = "-".join([Path(configs[0]).resolve().parent.name, Path(configs[0]).stem]) if configs else "run"
    return str(merged_arguments(args).get("run.group") or default)


def run_folder(args: Sequence[str]) -> Path:
    """Return `<root>/<group>/<run id>` for the arguments of a run (`["fit", "--config", ...]`)."""
    root = merged_arguments(args).get("run.root") or DEFAULT_ROOT
    return Path(str(root)) / run_group(args) / run_id(args)


def is_finished(folder: Path) -> bool:
    """Tell whether the run of this folder has written its result."""
    return (folder / "result.json").is_file()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON under a temporary name and rename it, so that a reader never sees half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    temporary.replace(path)


@contextmanager
def lock(path: Path, message: str, patience: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system frees it even when the process is killed.

    Args:
        path: of the file that is locked.
        message: for the error.
        patience: seconds to wait for a process that holds it; a killed one needs some to give its memory back.

    Raises:
        UserError: with `message`, if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    with path.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise UserError(message) from None
                time.sleep(0.1)
        yield


@contextmanager
def full_disk_in_words(folder: Path) -> Iterator[None]:
    """Turn the error that a full disk causes within into one sentence.

    Args:
        folder: of the run that is being written.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error  # torch.save covers the reason with an error of its own
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(f"{folder}: the disk is full; free some of it and go on with --resume.") from None
            cause = cause.__cause__ or cause.__context__
        raise


def _whole(value: Any) -> Any:
    """The value with 1.0 as 1: W&B's server hands it out so, and both mean the same run."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _value(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if value == "None":  # as W&B writes null
        return None
    try:
        return float(value) if isinstance(value, str) else value  # YAML reads 1e-4 as text
    except ValueError:
        return value


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        path = prefix if key == "init_args" else f"{prefix}.{key}".strip(".")
        if isinstance(item, Mapping) and item:
            flat.update(_flatten(item, path))
        else:
            flat[path] = item
    return flat
