"""The logs of W&B's client in a run's folder: `wandb/[offline-]run-<start>-ID/run-ID.wandb`."""

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError

MARKER = ".wandb.synced"  # suffix of an empty file beside a log that the server has completely
STEP = "trainer/global_step"  # WandbLogger's name of the step
RESULT = "result"  # in a run's summary: the text of its result.json
OF_REPORTS = "report-"  # begins the ids of runs that hold a report
HEADER_BYTES = 7  # the client writes in blocks: the log of a run that was killed early is no longer than this


def logs_of(folder: Path) -> list[Path]:
    """Return the logs in a run's folder that are not empty, in the order of their start."""
    logs = [log for log in folder.glob("wandb/*run-*/run-*.wandb") if log.stat().st_size > HEADER_BYTES]
    return sorted(logs, key=started)


def started(log: Path) -> str:
    """Return the start time of a log as a text that sorts."""
    return log.parent.name.removeprefix("offline-")


def unsynced(folder: Path) -> list[Path]:
    """Return the logs of `logs_of` that the server does not have completely."""
    return [log for log in logs_of(folder) if not log.with_suffix(MARKER).exists()]


def records(log: Path) -> list[dict[str, Any]]:
    """Read the records of a log with the client's own reader.

    Raises:
        UserError: The log cannot be read.
    """
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise UserError(f"{log}: cannot be read as a log of W&B ({' '.join(done.stderr.split())}); leave it out.")
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{log}: its reader answers no JSON ({error}); leave it out.") from None


def history(logs: Iterable[Path]) -> list[dict[str, Any]]:
    """Return one mapping for each `run.log`; a log that cannot be read counts as empty."""
    items = []
    for log in logs:
        with suppress(UserError):
            items += [record["history"]["item"] for record in records(log) if record["type"] == "history"]
    return items
