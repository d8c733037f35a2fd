"""The processes of a run. Imports nothing heavy."""

import os


def is_first_process() -> bool:
    """Tell whether this process prepares the run's folder; Lightning starts the others."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "RANK"))
