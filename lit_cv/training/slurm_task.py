"""This process as a task of a Slurm job: the other processes of the job, and the job's signals.

Imports nothing heavy, so that a run is ready for a signal before the imports, which take seconds.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from lit_cv.errors import UserError

NOT_LAUNCHED = ("bash", "interactive")  # jobs of a shell, where Lightning starts the processes itself
SIGNALS = {signal.SIGUSR1, signal.SIGTERM}


def is_task() -> bool:
    """Tell whether `srun` started this process as a task of a run."""
    return "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in NOT_LAUNCHED


def hold_signals() -> None:
    """Keep SIGUSR1 (the job will be preempted) and SIGTERM (the job is being ended) pending from now on.

    A handler would interrupt the training, or a collective operation, in the middle of a step. Slurm also sends both
    signals to the children: those that start from now on, such as the loader's workers, hold them as well.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def asked_to_leave() -> bool:
    """Tell whether one of the two signals has arrived."""
    return not SIGNALS.isdisjoint(signal.sigpending())


def asked_to_end() -> bool:
    """Tell whether SIGTERM has arrived, from scancel or another's requeue: the run must not requeue its job itself."""
    return signal.SIGTERM in signal.sigpending()


def trainer_settings(trainer: Mapping[str, Any]) -> dict[str, int]:
    """Return `num_nodes` and `devices` (processes per node) for one process per task of the job.

    Raises:
        UserError: The run's own settings ask for other numbers.
    """
    nodes, tasks = int(os.environ["SLURM_NNODES"]), int(os.environ.get("SLURM_NTASKS_PER_NODE", "1"))
    for name, default, number in (("num_nodes", 1, nodes), ("devices", "auto", tasks)):
        if trainer[name] not in (default, number, str(number)):
            raise UserError(f"trainer.{name} is {trainer[name]}, but the Slurm job has {number}; leave it out.")
    return {"num_nodes": nodes, "devices": tasks}


def requeue() -> None:
    """Requeue the job. Slurm then ends this process.

    Raises:
        UserError: Slurm refuses.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"Slurm does not requeue job {job} ({answer.stderr.strip()}); submit the run again.")
