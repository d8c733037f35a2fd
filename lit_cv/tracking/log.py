"""The logs that W&B's client writes into a run's folder: `wandb/[offline-]run-<start>-ID/run-ID.wandb`."""

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError

MARKER = ".wandb.synced"  # ends the name of an empty file beside a log that is on the server as a whole
STEP = "trainer/global_step"  # WandbLogger's name of the step
RESULT = "result"  # in a run's summary: the text of its result.json
HEADER_BYTES = 7  # the client writes in blocks: the log of a run that was killed early has no more than this


def logs_of(folder: Path) -> list[Path]:
    """The logs in a run's folder that hold anything, in the order of their start."""
    logs = [log for log in folder.glob("wandb/*run-*/run-*.wandb") if log.stat().st_size > HEADER_BYTES]
    return sorted(logs, key=started)


def started(log: Path) -> str:
    """When the client began a log, as a text that sorts."""
    return log.parent.name.removeprefix("offline-")


def unsynced(folder: Path) -> list[Path]:
    """Those of `logs_of` that are not on the server as a whole."""
    return [log for log in logs_of(folder) if not log.with_suffix(MARKER).exists()]


def records(log: Path) -> list[dict[str, Any]]:
    """The records of a log, by the client's own reader.

    Raises:
        UserError: it cannot be read.
    """
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise UserError(f"{log}: cannot be read as a log of W&B ({' '.join(done.stderr.split())}); leave it out.")
    return [json.loads(line) for line in lines]


def history(logs: Iterable[Path]) -> list[dict[str, Any]]:
    """What was logged, one mapping for each `run.log`; a log that cannot be read counts as empty."""
    items = []
    for log in logs:
        with suppress(UserError):
            items += [record["history"]["item"] for record in records(log) if record["type"] == "history"]
    return items
