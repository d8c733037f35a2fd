"""Files of a run: JSON, YAML, metrics and locks."""

import csv
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import orjson
import yaml

from lit_cv.errors import UserError, did_you_mean
from lit_cv.runs.file_kinds import binary_kind
from lit_cv.runs.near import did_you_mean_path
from lit_cv.runs.yaml_text import parse_yaml

TAIL_BYTES = 1 << 16


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it to ``path`` at the end: a reader never sees half a file.

    After an exception ``path`` keeps its old content and the temporary file is deleted, so that half a file does not
    keep a disk full. An error of the disk names ``path``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)
        raise
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, indented, under a temporary name first (see ``replaced``)."""
    with replaced(path) as temporary:
        temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a YAML file in the order of ``content``, under a temporary name first (see ``replaced``)."""
    with replaced(path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: The file is missing or is not a JSON object.
    """
    try:
        content = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); delete its run folder and run it again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no JSON object; delete its run folder and run it again.")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: The file is missing, is not YAML, or holds no mapping.
    """
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "there is no such file"
        raise UserError(f"{path}: {what}; give the path of a YAML file{similar(path) or '.'}")
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        what = (kind := binary_kind(path)) and f"{kind}; give the path of a YAML file."
        raise UserError(f"{path}: {what or f'not valid YAML ({error}); fix the file.'}") from None
    if not isinstance(content, dict):
        what = binary_kind(path) or "holds no `key: value` mapping; write one setting per line"
        raise UserError(f"{path}: {what}.")
    return content


def similar(path: Path) -> str:
    """Return "; did you mean PATH?" for a misspelled path of a YAML file or a run; empty if none is near."""
    known = [str(file) for pattern in ("experiments/*/*.yaml", "sweeps/**/*.yaml") for file in Path().glob(pattern)]
    named = [file for file in known if Path(file).name == path.name]
    return did_you_mean_path(path) or did_you_mean(str(path), named, cutoff=0.0) or did_you_mean(str(path), known)


def read_curve(folder: Path, metric: str) -> dict[int, float]:
    """Read a metric by step from a run's ``metrics.csv``, which may still grow; empty if the file is missing.

    Raises:
        UserError: The file is not a table of numbers.
    """
    curve = {}
    for row in (row for row in read_rows(folder, metric) if row[2] == metric):
        try:
            curve[int(row[0])] = float(row[3])
        except ValueError:
            raise _no_table(folder, f"it has the row {','.join(row)[:80]}") from None
    return curve


def read_rows(folder: Path, part: str = "") -> list[list[str]]:
    """Read the complete rows (step, epoch, name, value) of a run's ``metrics.csv``; empty if the file is missing.

    Args:
        folder: Folder of the run.
        part: Text of the rows that are read: a run logs much, and reading fields takes time.

    Raises:
        UserError: The file is not a table.
    """
    try:
        text = (folder / "metrics.csv").read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()[1:]
        return [row for row in csv.reader(line for line in lines if part in line) if len(row) == 4]
    except FileNotFoundError:
        return []
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_table(folder, str(error)) from None


def _no_table(folder: Path, reason: str) -> UserError:
    place = folder / "metrics.csv"
    return UserError(
        f"{place}: is no table of step,epoch,name,value ({reason}); delete the run folder and run it again."
    )


def read_tail(path: Path, first: int = 0) -> str:
    """Read the last 64 KiB of a text file, without a first line that is cut off; empty if the file is missing.

    Args:
        path: The file.
        first: Byte before which nothing is read.
    """
    try:
        with path.open("rb") as file:
            start = max(first, path.stat().st_size - TAIL_BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return (start > first and text.partition("\n")[2]) or text


@contextmanager
def lock(path: Path, message: str, patience: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on ``path``; the system frees it even when the process is killed.

    Folders that are made for the file are deleted at the end if nothing else was written into them.

    Args:
        path: File that is locked.
        message: Text of the error.
        patience: Seconds to wait for a process that holds the lock; a killed process needs time to free its memory.

    Raises:
        UserError: Another process holds the lock; the text is ``message``.
    """
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    end = time.monotonic() + patience
    while (handle := _locked(path)) is None:
        if time.monotonic() >= end:
            raise UserError(message)
        time.sleep(0.1)
    with handle:
        try:
            yield
        finally:
            if made and path.parent.is_dir() and os.listdir(path.parent) == [path.name]:
                path.unlink()
                _remove_empty(made)


def _locked(path: Path) -> TextIO | None:
    """Open and lock a file; None if another process holds it, or has deleted it between the two."""
    with ExitStack() as stack, suppress(BlockingIOError, FileNotFoundError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = stack.enter_context(path.open("w"))
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
            stack.pop_all()
            return handle
    return None


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):  # another process has written into one
        for folder in folders:
            folder.rmdir()


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into one sentence.

    Args:
        folder: Folder of the run that is being written.

    Raises:
        UserError: The disk is full.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error  # torch.save covers the reason with an error of its own
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(f"{folder}: the disk is full; free some space and continue with --resume.") from None
            cause = cause.__cause__ or cause.__context__
        raise
