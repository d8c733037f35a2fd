"""Unfinished runs that differ little from one that is about to start. Imports nothing heavy."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.runs.folder import NOT_PART_OF_THE_ID, is_finished
from lit_cv.runs.settings import canonical, merged_arguments

MOST_DIFFERENCES = 2
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
