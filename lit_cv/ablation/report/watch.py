"""``litcv report --watch``: update the report while a sweep is active."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lit_cv.ablation.results.study import Study, Unfinished, load_study


class Write(Protocol):
    """Writes the report of a study; the page reloads itself after ``refresh`` seconds."""

    def __call__(self, study: Study, *, refresh: int | None = None) -> list[Path]:
        """Return the files."""
        ...


def follow(folders: Sequence[Path], seconds: int, *, named: bool, write: Write) -> Study | None:
    """Write the report whenever a run has logged something, until every run is finished or Ctrl-C is pressed.

    Args:
        folders: Group folders.
        seconds: Time between two checks of the folders.
        named: Whether the metric is known without a finished run.
        write: Called with the runs.

    Returns:
        The last state of the runs, for the last report; None if nothing could be written yet.
    """
    written, before = None, None
    try:
        while (study := load_study(folders, partial=True)).unfinished:
            now = [(run.state, _changed(run)) for run in study.unfinished]
            if now != before and (study.runs or study.metric or named):
                files = write(study, refresh=seconds)
                written, before = study, now
                done = len(study.runs)
                print(f"{done} of {done + len(study.unfinished)} runs finished: {files[1]}", flush=True)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return written
    return study


def _changed(run: Unfinished) -> int:
    """Return the time of a run's last log entry in nanoseconds."""
    try:
        return (run.folder / "metrics.csv").stat().st_mtime_ns
    except FileNotFoundError:
        return 0
