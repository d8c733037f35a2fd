"""A run as W&B sees it: where it is logged, under which id, and how it ends there."""

import csv
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import wandb

from lit_cv.errors import UserError
from lit_cv.runs.files import read_yaml, write_json
from lit_cv.tracking.log import MARKER, RESULT, STEP, history, logs_of, unsynced
from lit_cv.tracking.server import has_key, trouble, upload

Mode = Literal["auto", "online", "offline", "disabled"]
Known = dict[str, Any] | None  # what `wandb.init` is told of a run; None where W&B is disabled
FINISH_SECONDS = "300"  # how long the end of a run waits for an upload before it leaves it to `litcv sweep --sync`


def mode(wanted: Mode) -> str:
    """The mode of a run: what is asked for, else WANDB_MODE, else online where there is a key."""
    if wanted != "auto":
        return wanted
    return os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")


def under_agent() -> bool:
    """Tell whether a W&B agent has started this process."""
    return "WANDB_SWEEP_ID" in os.environ and "WANDB_RUN_ID" in os.environ


def identity(folder: Path, wanted: Mode, project: str) -> Known:
    """What `wandb.init` is told of the run in `folder`; None where W&B is disabled. Its group is the folder above.

    An agent says under which id a run is logged. Elsewhere it keeps the id that it had before, so that a run that was
    preempted under an agent goes on as the same run of the sweep; a new run is called as its folder.
    """
    chosen = mode(wanted)
    if chosen == "disabled":
        return None
    run_id = os.environ.get("WANDB_RUN_ID") or _former_id(folder) or folder.name
    return {"id": run_id, "name": folder.name, "group": folder.parent.name, "project": project, "mode": chosen}


@contextmanager
def logged(folder: Path, known: Known) -> Iterator[None]:
    """Close the W&B run that is opened inside. What the server has not got of the run so far goes up first.

    Later it would be taken for a repetition of the steps that follow.

    Raises:
        UserError: W&B refuses the run or cannot be reached when it starts.
    """
    os.environ.setdefault("WANDB_FINISH_TIMEOUT", FINISH_SECONDS)
    os.environ["WANDB_FINISH_TIMEOUT_RAISES"] = "true"
    if known and known["mode"] == "online":
        logs = [log for log in unsynced(folder) if log.name == f"run-{known['id']}.wandb"]
        if logs:
            upload(logs)
    try:
        yield
    except wandb.Error as error:
        raise UserError(f"{folder}: {trouble(str(error))}") from None
    _finish(folder)


def end_by_sigterm(folder: Path) -> None:
    """Close the W&B run and end this process as SIGTERM would have, so that an agent takes it for stopped, not failed.

    What the server has not got when the agent's patience ends, `litcv sweep --sync` brings.
    """
    _finish(folder, 128 + signal.SIGTERM)
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def tell_finished(folder: Path, known: Known) -> None:
    """Show a run that was finished before to the agent that asks for it again, which would take it for crashed."""
    if known is None:
        return
    with logged(folder, known):
        run = wandb.init(**known, dir=folder, config=read_yaml(folder / "config.yaml"), resume="allow")
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        replay(folder, run)
        log_result(folder)


def replay(folder: Path, run: Any) -> None:
    """Log the steps of `metrics.csv` that this W&B run does not have, and remember it as the folder's.

    It may be another run than before, or W&B's client was killed before it wrote them to disk.
    """
    rows, own = _rows(folder / "metrics.csv"), Path(run.dir).parent.name
    earlier = [log for log in logs_of(folder) if log.name == f"run-{run.id}.wandb" and log.parent.name != own]
    for step in sorted(rows.keys() - {item.get(STEP) for item in history(earlier if rows else ())}):
        run.log({**rows[step], STEP: step})
    write_json(folder / "wandb.json", {"id": run.id})


def log_result(folder: Path) -> None:
    """Put `result.json` into the W&B run, so that a report can be made from there; see `lit_cv.tracking.restore`."""
    if wandb.run:
        wandb.run.summary[RESULT] = (folder / "result.json").read_text()


def _rows(path: Path) -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    if path.exists():
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                rows.setdefault(int(row["step"]), {})[row["name"]] = float(row["value"])
    return rows


def _former_id(folder: Path) -> str | None:
    file = folder / "wandb.json"
    return str(read_yaml(file)["id"]) if file.exists() else None


def _finish(folder: Path, exit_code: int = 0) -> None:
    """Wait for the upload, and mark it as whole with the file that `wandb sync` leaves behind."""
    run = wandb.run
    if run is None:
        return
    log, online, path = Path(run.dir).parent / f"run-{run.id}.wandb", not run.offline, run.path
    try:
        run.finish(exit_code)
        if online and _has_ended(path):
            log.with_suffix(MARKER).touch()
            return
    except TimeoutError:
        pass
    if online:
        print(f"{folder}: W&B has not got all of this run; `litcv sweep FILE --sync` or `wandb sync` brings the rest.")


def _has_ended(path: str) -> bool:
    """Whether the server knows that a run has ended, which the client tells it after everything else."""
    try:
        return str(wandb.Api(timeout=20).run(path).state) in ("finished", "failed", "killed")
    except (wandb.Error, ValueError):
        return False
