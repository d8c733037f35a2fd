"""`litcv sweep FILE`: run every trial of a W&B sweep file that is missing."""

from dataclasses import replace
from pathlib import Path

from lit_cv.ablation.executors.choose import make_executor
from lit_cv.ablation.executors.slurm_options import DEFAULT, Resources
from lit_cv.ablation.launch import launch
from lit_cv.ablation.status import status
from lit_cv.ablation.sweep.plan import Preflight, plan
from lit_cv.ablation.sweep.search import refuse_other_draws
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
    """Carry out a sweep file.

    Args:
        path: a W&B sweep file.
        executor: where to run; `local`, `slurm` or `wandb`.
        workers: runs at once; by default one per `gpus_per_run` visible GPUs, or one on a machine without a GPU.
        gpus_per_run: GPUs that each run sees.
        runs: how many runs the sweep has, if its file has no smaller `run_cap`.
        resources: what each run asks of Slurm.
        runs_per_gpu: runs that share each of them.
        retry_failed: also run what failed in an earlier call.
        dry_run: only print what would be run.
        measure: estimate the cost by timing some steps of the first run.
        preflight: called before the first run starts, with the arguments of every run to be done and the metric's name;
            raises UserError for a parameter or metric that the experiment does not have.

    Returns:
        0 when every run of the sweep is finished or submitted, else 1.

    Raises:
        UserError: a bad sweep file, an unknown executor, or another runner at work on the same sweep.
    """
    sweep = _load(path, runs)
    place = make_executor(executor, sweep, workers, gpus_per_run, runs_per_gpu, resources)
    if sweep.method != "grid":
        if executor == "wandb":
            from lit_cv.ablation.executors.wandb import WandbExecutor
            from lit_cv.ablation.executors.wandb_search import search_on_server

            assert isinstance(place, WandbExecutor)
            return search_on_server(sweep, place, dry_run=dry_run, preflight=preflight)
        refuse_other_draws(sweep, on_server=False)
    return launch(sweep, place, dry_run=dry_run, measure=measure, retry_failed=retry_failed, preflight=preflight)


def _load(path: Path, runs: int | None) -> Sweep:
    sweep = load_sweep(path)
    if runs is not None and runs < 1:
        raise UsageError(f"--runs {runs}: give at least 1.")
    return sweep if runs is None else replace(sweep, run_cap=min(runs, sweep.run_cap or runs))


def run_sync(path: Path, runs: int | None = None) -> int:
    """Bring to W&B what it has not got of a sweep's runs; see `sync` and `run_sweep`."""
    from lit_cv.tracking.sync import sync

    return sync(plan(_load(path, runs))[0].folder.parent)


def run_status(path: Path, runs: int | None = None) -> int:
    """Print the state of every run of a sweep file, see `run_sweep`; returns 0.

    Raises:
        UserError: a bad sweep file, or Slurm cannot be asked about runs that were submitted to it.
    """
    sweep = _load(path, runs)
    print(status(sweep.name, plan(sweep)))
    return 0
