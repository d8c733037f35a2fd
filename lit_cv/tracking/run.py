"""A run on W&B: its mode, its id, and its end."""

import csv
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import wandb

from lit_cv.errors import UserError
from lit_cv.runs.files import read_yaml, write_json
from lit_cv.runs.folder import DEFAULT_PROJECT
from lit_cv.runs.processes import is_first_process
from lit_cv.tracking.log import MARKER, RESULT, STEP, history, logs_of, unsynced
from lit_cv.tracking.server import address, answers, has_key, trouble, upload
from lit_cv.tracking.service import give_log_a_folder

Mode = Literal["auto", "online", "offline", "disabled"]
MODES: dict[str, Mode] = {"online": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}
Known = dict[str, Any] | None  # arguments of `wandb.init` for a run; None if W&B is disabled
FINISH_SECONDS = "300"  # patience of a run's end for the upload; `litcv sweep --sync` uploads the rest


def default_project() -> str:
    """Return the W&B project of runs that name none."""
    return os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT


def mode(wanted: Mode) -> str:
    """Return the mode of a run: the requested one, else WANDB_MODE, else online if there is a key.

    A run that would be online is offline, with a note, if the server cannot be reached.

    Raises:
        UserError: WANDB_MODE is none of the modes, or the run shall be online and there is no key. Nothing asks for it.
    """
    variable = os.environ.get("WANDB_MODE")
    if wanted == "disabled":
        return wanted
    if not variable:
        os.environ.pop("WANDB_MODE", None)  # the client refuses an empty one
    elif variable not in MODES:
        raise UserError(f"WANDB_MODE is {variable!r}; set it to online, offline or disabled, or unset it.")
    given = MODES[variable] if wanted == "auto" and variable else wanted
    if given == "auto":
        given = "online" if has_key() else "offline"
    if given != "online" or not is_first_process():
        return given
    if not has_key():
        option = "--run.wandb=online" if wanted == "online" else "WANDB_MODE=online"
        raise UserError(f"{option} needs a key for W&B at {address()}; set WANDB_API_KEY or call `wandb login`.")
    return "online" if _reachable(address()) else "offline"


@cache
def _reachable(server: str) -> bool:
    if answers(server):
        return True
    print(f"note: W&B at {server} cannot be reached; the run is logged offline, upload it later with `wandb sync`.")
    return False


def under_agent() -> bool:
    """Tell whether a W&B agent has started this process."""
    return "WANDB_SWEEP_ID" in os.environ and "WANDB_RUN_ID" in os.environ


def identity(folder: Path, wanted: Mode, project: str) -> Known:
    """Return the arguments of `wandb.init` for the run in `folder`, or None if W&B is disabled.

    The group is the name of the parent folder. Under an agent the agent chooses the id. Otherwise the run keeps its
    former id, so that a run that was preempted under an agent continues as the same run of the sweep; the id of a new
    run follows from the name of its folder and from its group.
    """
    chosen = mode(wanted)
    if chosen == "disabled":
        return None
    run_id = os.environ.get("WANDB_RUN_ID") or _former_id(folder) or new_id(folder)
    return {"id": run_id, "name": folder.name, "group": folder.parent.name, "project": project, "mode": chosen}


def new_id(folder: Path) -> str:
    """Return W&B's id for a new run: the name of its folder and a digest of its group.

    Runs with equal arguments in two groups are two runs, also on W&B. A digest, because W&B's ids are limited in length
    and characters.
    """
    return f"{folder.name}-{hashlib.sha256(folder.parent.name.encode()).hexdigest()[:6]}"


@contextmanager
def logged(folder: Path, known: Known) -> Iterator[None]:
    """Close the W&B run that is opened inside; upload first what the server lacks of earlier parts of the run.

    Uploaded later, these parts would be taken for a repetition of the steps that follow.

    Raises:
        UserError: W&B refuses the run or cannot be reached when it starts.
    """
    os.environ.setdefault("WANDB_FINISH_TIMEOUT", FINISH_SECONDS)
    os.environ["WANDB_FINISH_TIMEOUT_RAISES"] = "true"
    give_log_a_folder()
    if known and known["mode"] == "online":
        logs = [log for log in unsynced(folder) if log.name == f"run-{known['id']}.wandb"]
        if logs:
            upload(logs)
    try:
        yield
    except wandb.Error as error:
        raise UserError(f"{folder}: {trouble(str(error))}") from None
    finish(folder)


def tell_finished(folder: Path, known: Known) -> None:
    """Log a run that was finished before to the agent that asks for it again, which would report it as crashed."""
    if known is None:
        return
    with logged(folder, known):
        run = wandb.init(**known, dir=folder, config=read_yaml(folder / "config.yaml"), resume="allow")
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        replay(folder, run)
        log_result(folder)


def replay(folder: Path, run: Any) -> None:
    """Log the steps of `metrics.csv` that this W&B run lacks, and record its id in the folder.

    Steps are missing if this is another W&B run than before, or if the client was killed before it wrote them to disk.
    """
    rows, own = _rows(folder / "metrics.csv"), Path(run.dir).parent.name
    earlier = [log for log in logs_of(folder) if log.name == f"run-{run.id}.wandb" and log.parent.name != own]
    for step in sorted(rows.keys() - {item.get(STEP) for item in history(earlier if rows else ())}):
        run.log({**rows[step], STEP: step})
    write_json(folder / "wandb.json", {"id": run.id})


def log_result(folder: Path) -> None:
    """Store `result.json` in the W&B run, so that a report can be made from it; see `lit_cv.tracking.restore`."""
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


def finish(folder: Path, exit_code: int = 0) -> None:
    """Close the W&B run, wait for its upload, and mark a complete one with the file that `wandb sync` leaves behind.

    If the upload takes too long, `litcv sweep --sync` uploads the rest.
    """
    run = wandb.run
    if run is None:
        return
    log, online, path = Path(run.dir).parent / f"run-{run.id}.wandb", not run.offline, run.path
    try:
        run.finish(exit_code)
        if not online:
            wandb.teardown(exit_code)  # `finish` returns before the log is on disk, the end of the service does not
        elif _has_ended(path):
            log.with_suffix(MARKER).touch()
            return
    except TimeoutError:
        pass
    if online:
        print(f"{folder}: W&B lacks a part of this run; `litcv sweep FILE --sync` or `wandb sync` uploads the rest.")


def _has_ended(path: str) -> bool:
    """Tell whether the server knows that a run has ended; the client reports the end after everything else."""
    try:
        return str(wandb.Api(timeout=20).run(path).state) in ("finished", "failed", "killed")
    except (wandb.Error, ValueError):
        return False
