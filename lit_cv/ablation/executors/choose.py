"""The choice of an executor by name."""

from lit_cv.ablation.executors.base import Executor
from lit_cv.ablation.executors.slurm import SlurmExecutor
from lit_cv.ablation.executors.slurm_options import DEFAULT, Resources
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.errors import UsageError


def make_executor(
    name: str, sweep: Sweep, workers: int | None, gpus_per_run: int, runs_per_gpu: int | None, resources: Resources
) -> Executor:
    """The executor of this name.

    Raises:
        UsageError: there is none, or an option belongs to another one.
    """
    if name == "slurm":
        if workers is not None or gpus_per_run != 1 or runs_per_gpu is not None:
            raise UsageError("--workers, --gpus-per-run, --runs-per-gpu: not of --executor slurm; see --max-parallel.")
        if sweep.method == "bayes" and not resources.max_parallel:
            raise UsageError("a Bayesian sweep learns from its runs: say how many are at work, with --max-parallel.")
        return SlurmExecutor(sweep.name, resources)
    if resources != DEFAULT:
        raise UsageError("--nodes, --time and the other options of a Slurm job need --executor slurm.")
    if name == "wandb":
        from lit_cv.ablation.executors.wandb import WandbExecutor

        return WandbExecutor(sweep, workers, gpus_per_run)
    if name != "local":
        raise UsageError(f"--executor {name}: there is no such executor; write --executor local.")
    from lit_cv.ablation.executors.local import LocalExecutor

    metric = sweep.metric.name if sweep.metric else None
    return LocalExecutor(workers, gpus_per_run, runs_per_gpu, metric)
