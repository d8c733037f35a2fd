"""Unfinished runs that differ little from one that is about to start. Imports nothing heavy."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError
from lit_cv.runs.files import lock, read_json
from lit_cv.runs.folder import NOT_PART_OF_THE_ID, is_finished
from lit_cv.runs.settings import canonical, merged_arguments

MOST_DIFFERENCES = 2
BATCH_SIZE = "data.batch_size"
LAST = Path("checkpoints") / "last.ckpt"


def note_of_relative(folder: Path, args: Sequence[str]) -> str | None:
    """Explain that ``--resume`` starts a new run although a similar one is unfinished; None if there is none.

    Args:
        folder: Folder of the new run.
        args: Its arguments.
    """
    found = [(other, _differences(other, args)) for other in _unfinished(folder.parent)]
    near = [(len(items), other, items) for other, items in found if 0 < len(items) <= MOST_DIFFERENCES]
    if not near or (folder.parent / "sweep.json").exists():  # the runs of a sweep differ on purpose
        return None
    _, other, items = min(near)
    words = ", ".join(f"{key}={theirs} (here {ours})" for key, theirs, ours in items)
    return (
        f"note: no run has these arguments, so --resume starts a new one. {other}, which is unfinished, has {words}: "
        f"its own arguments continue it, and --ckpt_path={other / LAST} starts a new run from its last step."
    )


def take_over(folder: Path, args: Sequence[str]) -> str | None:
    """Move an unfinished run that differs only in its batch size to the folder of these arguments, which continue it.

    Args:
        folder: Folder of the new arguments; no run was begun in it.
        args: The new arguments.

    Returns:
        A sentence that says so; None if there is no such run, if it is active, or if a sweep has made it.

    Raises:
        UserError: There are several such runs, or the length of the run is not given in steps.
    """
    if (folder.parent / "sweep.json").exists():
        return None
    differences = {other: _differences(other, args) for other in _unfinished(folder.parent)}
    alike = {other: items[0] for other, items in differences.items() if [key for key, *_ in items] == [BATCH_SIZE]}
    found = {other: items for other, items in alike.items() if not _active(other)}
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(f"{other} ({BATCH_SIZE}={theirs})" for other, (_, theirs, _) in found.items())
        raise UserError(
            f"--resume: {len(found)} unfinished runs differ only in {BATCH_SIZE}: {names}; delete all but one of them, "
            "or continue one with its own arguments."
        )
    ((other, (_, theirs, ours)),) = found.items()
    if merged_arguments(args).get("trainer.max_steps", -1) in (-1, None):
        raise UserError(
            f"--resume: {other} has {BATCH_SIZE}={theirs} (here {ours}), and its length in epochs would be another "
            "number of steps; continue it with its own batch size, or set trainer.max_steps from the start."
        )
    with lock(other / ".lock", f"{other}: another process is working on this run; wait for it or stop it."):
        shutil.rmtree(folder, ignore_errors=True)  # at most the log of a run that did not begin
        other.rename(folder)
    return (
        f"note: continues {other} with {BATCH_SIZE}={ours} instead of {theirs}; the folder of the run is {folder} now, "
        "and its result says from which step the other size counts."
    )


def _active(folder: Path) -> bool:
    """Return whether a process works on a run."""
    try:
        with lock(folder / ".lock", ""):
            return False
    except UserError:
        return True


def _unfinished(group: Path) -> list[Path]:
    folders = sorted(file.parent for file in group.glob("*/run.json"))
    return [folder for folder in folders if not is_finished(folder) and (folder / LAST).exists()]


def _differences(folder: Path, args: Sequence[str]) -> list[tuple[str, Any, Any]]:
    """Return (key, value of the run in the folder, value in the arguments); empty if they cannot be compared."""
    with suppress(UserError, KeyError):
        theirs, ours = merged_arguments(read_json(folder / "run.json")["command"]), merged_arguments(args)
        keys = [key for key in sorted({*theirs, *ours}) if key.split(".")[0] not in NOT_PART_OF_THE_ID]
        pairs = [(key, theirs.get(key, "default"), ours.get(key, "default")) for key in keys]
        return [pair for pair in pairs if canonical(pair[1]) != canonical(pair[2])]
    return []
