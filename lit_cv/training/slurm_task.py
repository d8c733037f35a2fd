"""This process as a task of a Slurm job: the processes beside it, and what the job's signals ask for.

Imports nothing heavy, so that a signal in the first seconds of a run, which imports take, finds it prepared.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from lit_cv.errors import UserError

NOT_LAUNCHED = ("bash", "interactive")  # jobs of a shell, in which Lightning starts the processes itself
SIGNALS = {signal.SIGUSR1, signal.SIGTERM}


def is_task() -> bool:
    """Whether `srun` started this process as one of a run's."""
    return "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in NOT_LAUNCHED


def hold_signals() -> None:
    """Keep SIGUSR1 (the job is about to be taken away) and SIGTERM (it is being ended) pending from now on.

    A handler would interrupt the training, or the processes' talk, in the middle of a step. And Slurm sends both to
    the children too: those that are started from now on, such as the loader's workers, hold them as well.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def asked_to_leave() -> bool:
    """Whether one of the two signals has come."""
    return not SIGNALS.isdisjoint(signal.sigpending())


def asked_to_end() -> bool:
    """Whether SIGTERM has come, from scancel or a requeue by others: the job is not to be queued by the run itself."""
    return signal.SIGTERM in signal.sigpending()


def trainer_settings(trainer: Mapping[str, Any]) -> dict[str, int]:
    """Give the trainer one process for each task of the job: `num_nodes` and `devices` (the processes of a node).

    Raises:
        UserError: the run's own settings ask for other numbers.
    """
    nodes, tasks = int(os.environ["SLURM_NNODES"]), int(os.environ.get("SLURM_NTASKS_PER_NODE", "1"))
    for name, default, number in (("num_nodes", 1, nodes), ("devices", "auto", tasks)):
        if trainer[name] not in (default, number, str(number)):
            raise UserError(f"trainer.{name} is {trainer[name]}, but the Slurm job has {number}; leave it out.")
    return {"num_nodes": nodes, "devices": tasks}


def requeue() -> None:
    """Put the job back into Slurm's queue. Slurm then ends this process.

    Raises:
        UserError: Slurm refuses.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"Slurm does not queue job {job} again ({answer.stderr.strip()}); submit the run once more.")
