"""`litcv sweep FILE`: run every trial of a W&B sweep file that has no result yet."""

from dataclasses import replace
from pathlib import Path

from lit_cv.ablation.executors.choose import make_executor
from lit_cv.ablation.executors.slurm_options import DEFAULT, Resources
from lit_cv.ablation.launch import launch
from lit_cv.ablation.status import status
from lit_cv.ablation.sweep.plan import Preflight, plan
from lit_cv.ablation.sweep.search import refuse_other_search
from lit_cv.ablation.sweep.sweep_file import Sweep, load_sweep
from lit_cv.errors import UsageError


def run_sweep(
    path: Path,
    *,
    executor: str = "local",
    workers: int | None = None,
    gpus_per_run: int = 1,
    runs: int | None = None,
    resources: Resources = DEFAULT,
    runs_per_gpu: int | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    measure: bool = False,
    preflight: Preflight,
) -> int:
    """Run a sweep file.

    Args:
        path: A W&B sweep file.
        executor: ``local``, ``slurm`` or ``wandb``.
        workers: Runs at the same time; by default one per ``gpus_per_run`` visible GPUs, or one without a GPU.
        gpus_per_run: GPUs that each run sees.
        runs: Maximum number of runs of a search, unless the file has a smaller ``run_cap``.
        resources: Slurm resources of each run.
        runs_per_gpu: Runs that share each GPU.
        retry_failed: Also run trials that failed in an earlier call.
        dry_run: Only print the trials.
        measure: Estimate the cost by timing a few steps of the first run.
        preflight: Called before the first run starts, with the arguments of every run to be done and the metric's name;
            raises UserError for a parameter or metric that the experiment does not have.

    Returns:
        0 if every run of the sweep is finished or submitted, else 1.

    Raises:
        UserError: The sweep file is invalid, the executor is unknown, or another process is running the same sweep.
    """
    sweep = _load(path, runs)
    place = make_executor(executor, sweep, workers, gpus_per_run, runs_per_gpu, resources)
    if sweep.method != "grid":
        if executor == "wandb":
            from lit_cv.ablation.executors.wandb import WandbExecutor
            from lit_cv.ablation.executors.wandb_search import search_on_server

            assert isinstance(place, WandbExecutor)
            return search_on_server(sweep, place, dry_run=dry_run, preflight=preflight)
        refuse_other_search(sweep, on_server=False)
    return launch(sweep, place, dry_run=dry_run, measure=measure, retry_failed=retry_failed, preflight=preflight)


def _load(path: Path, runs: int | None) -> Sweep:
    sweep = load_sweep(path)
    if runs is not None and runs < 1:
        raise UsageError(f"--runs {runs}: give at least 1.")
    return sweep if runs is None else replace(sweep, run_cap=min(runs, sweep.run_cap or runs))


def run_sync(path: Path, runs: int | None = None) -> int:
    """Upload data of a sweep's runs that W&B lacks; see ``sync`` and ``run_sweep``."""
    from lit_cv.tracking.sync import sync

    return sync(plan(_load(path, runs))[0].folder.parent)


def run_status(path: Path, runs: int | None = None) -> int:
    """Print the state of every run of a sweep file and return 0.

    Raises:
        UserError: The sweep file is invalid, or runs were submitted to Slurm and its queue cannot be read.
    """
    sweep = _load(path, runs)
    print(status(sweep.name, plan(sweep)))
    return 0
