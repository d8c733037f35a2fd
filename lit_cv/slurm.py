"""This process as a task of a Slurm job: the processes beside it, and what the job's signals ask for.

Imports nothing heavy, so that a signal in the first seconds of a run, which imports take, finds it listening.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from lit_cv.errors import UserError

NOT_LAUNCHED = ("bash", "interactive")  # jobs of a shell, in which Lightning starts the processes itself
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
_received: set[int] = set()


def is_task() -> bool:
    """Whether `srun` started this process as one of a run's."""
    return "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in NOT_LAUNCHED


def listen() -> None:
    """Note SIGUSR1 (the job is about to be taken away) and SIGTERM (it is being ended) from now on; do nothing else.

    Saving in the handler itself would catch the training, or the processes' talk, in the middle of a step.
    """
    for number in SIGNALS:
        signal.signal(number, lambda received, _: _received.add(received))


def asked_to_leave() -> bool:
    """Whether one of the two signals has come."""
    return bool(_received)


def asked_to_end() -> bool:
    """Whether SIGTERM has come, from scancel or a requeue by others: the job is not to be queued by the run itself."""
    return signal.SIGTERM in _received


def trainer_settings(trainer: Mapping[str, Any]) -> dict[str, int]:
    """Give the trainer one process for each task of the job: `num_nodes` and `devices` (the processes of a node).

    Raises:
        UserError: the run's own settings ask for other numbers.
    """
    actual = {
        "num_nodes": int(os.environ["SLURM_NNODES"]),
        "devices": int(os.environ.get("SLURM_NTASKS_PER_NODE", "1")),
    }
    for name, number in actual.items():
        if trainer[name] not in ("auto", -1, "-1", 1, "1", number, str(number)):
            raise UserError(
                f"trainer.{name} is {trainer[name]}, but the Slurm job has {number}; leave it out of the run."
            )
    return actual


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
