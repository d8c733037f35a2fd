"""`litcv fit`: train an experiment in a run folder of its own."""

import os
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_cv.errors import UserError
from lit_cv.runs.checkpoints import last_checkpoint
from lit_cv.runs.files import full_disk_in_words, lock
from lit_cv.runs.folder import DEFAULT_PROJECT, is_finished, run_folder
from lit_cv.runs.settings import merged_arguments
from lit_cv.tracking.run import Known, end_by_sigterm, identity, logged, tell_finished, under_agent
from lit_cv.training.lightning_cli import LitCLI
from lit_cv.training.preemption import leaving_when_preempted

LOCK_SECONDS = 20.0


def is_first_process() -> bool:
    """Tell whether this process is the one that prepares the run's folder (Lightning starts the others)."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "RANK"))


def fit(args: Sequence[str], resume: bool) -> None:
    """Train the run that `args` (`["fit", "--config", ...]`) define, in its own folder.

    Under a W&B agent `resume` is on: the agent starts what it is told to, and a run that was begun before goes on.

    Raises:
        UserError: the folder already holds a run and `resume` is off, or another process works in it.
    """
    folder = run_folder(args)
    first, given = is_first_process(), merged_arguments(args)
    known = identity(folder, given.get("run.wandb", "auto"), given.get("run.project", DEFAULT_PROJECT))
    if first and under_agent():
        resume = True
        print(f"run: {folder}", flush=True)
    if is_finished(folder):
        if first:
            _repeat_result(folder, known, resume)
        return
    if not first:
        with leaving_when_preempted():
            LitCLI(args, folder, last_checkpoint(folder / "checkpoints"))
        return
    if (folder / "run.json").exists() and not resume:
        raise UserError(f"{folder}: this run was begun; add --resume to go on, or delete the folder to start anew.")
    busy = f"{folder}: another process is working on this run; wait for it or stop it."
    held = lock(folder / ".lock", busy, patience=LOCK_SECONDS if resume else 0.0)
    with leaving_when_preempted(), held, full_disk_in_words(folder):
        try:
            with logged(folder, known):
                LitCLI(args, folder, last_checkpoint(folder / "checkpoints"))
        except SIGTERMException:
            end_by_sigterm(folder)


def _repeat_result(folder: Path, known: Known, resume: bool) -> None:
    if not resume:
        raise UserError(f"{folder}: this run is already finished; delete the folder to do it again.")
    print(f"already finished: {folder / 'result.json'}")
    if under_agent():
        tell_finished(folder, known)
