"""Files of a run: JSON, YAML, metrics and locks."""

import csv
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from lit_cv.errors import UserError


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or is not a JSON object.
    """
    try:
        content = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); delete its run folder and run it again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no JSON object; delete its run folder and run it again.")
    return content


def read_curve(folder: Path, metric: str) -> dict[int, float]:
    """step -> value of a metric from the `metrics.csv` of a run, which may still grow; empty where it has none."""
    try:
        text = (folder / "metrics.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    complete = text[: text.rfind("\n") + 1].splitlines()
    rows = csv.reader(line for line in complete if metric in line)  # a run logs much, and reading fields takes time
    return {int(row[0]): float(row[3]) for row in rows if len(row) == 4 and row[2] == metric}


TAIL_BYTES = 1 << 14


def read_tail(path: Path) -> str:
    """The last 16 KiB of a text file, without a first line that is cut off; empty where there is no file."""
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - TAIL_BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return (start and text.partition("\n")[2]) or text


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
