"""`litcv sweep FILE --sync`: upload what W&B lacks of a sweep's runs, under their ids and their group."""

from pathlib import Path

from lit_cv.errors import UserError
from lit_cv.runs.files import lock
from lit_cv.tracking.log import unsynced
from lit_cv.tracking.server import require_online, upload


def sync(group: Path) -> int:
    """Upload the W&B logs of a group's runs that are not on the server; a second call finishes an interrupted one.

    Running runs are left alone.

    Returns:
        0 if the server has all logs, else 1.

    Raises:
        UserError: The server refuses the key or cannot be reached; nothing is lost.
    """
    folders = sorted({log.parents[2] for log in group.glob("*/wandb/*run-*/run-*.wandb")})
    logs = [log for folder in folders if not _at_work(folder) for log in unsynced(folder)]
    if not logs:
        print(f"{group}: {'W&B has everything.' if folders else 'no run has a log of W&B.'}")
        return 0
    require_online("--sync")
    left = upload(logs)
    print(f"{group}: {len(logs) - len(left)} of {len(logs)} logs synced.")
    for log in left:
        print(f"{log}: not synced; the log is kept, and the same command tries again.")
    return 1 if left else 0


def _at_work(folder: Path) -> bool:
    try:
        with lock(folder / ".lock", "at work"):
            return False
    except UserError:
        return True
