"""`litcv sweep FILE`: run every trial of a W&B sweep file that is missing."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lit_cv.ablation.executors.choose import make_executor
from lit_cv.ablation.executors.slurm_options import DEFAULT, Resources
from lit_cv.ablation.launch import launch
from lit_cv.ablation.status import status
from lit_cv.ablation.sweep.plan import Preflight, plan
from lit_cv.ablation.sweep.search import refuse_other_draws
from lit_cv.ablation.sweep.sweep_file import Sweep, load_sweep
from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.errors import UsageError


def add_parser(verbs: Verbs) -> None:
    """Add `sweep`."""
    parser = add_verb(verbs, "sweep", "run every trial of a W&B sweep file that is missing",
                      "litcv sweep sweeps/quickstart.yaml --workers 2", _run)  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="a W&B sweep file")
    parser.add_argument("--executor", choices=["local", "slurm", "wandb"], default="local", help="where trials run")
    parser.add_argument("--workers", type=int, help="trials at once (one a GPU, or one without GPUs)")
    parser.add_argument("--gpus-per-run", type=int, default=1,
                        help="GPUs that each trial sees (1) and trains on, unless its experiment sets trainer.devices; "
                             "they share its batches")  # fmt: skip
    parser.add_argument("--runs-per-gpu", type=int, help="small trials that share a GPU (1)")
    parser.add_argument("--retry-failed", action="store_true", help="also run trials that failed in an earlier call")
    parser.add_argument("--runs", type=int, help="how many runs a random or bayes sweep without `run_cap` has")
    parser.add_argument("--dry-run", action="store_true", help="print the trials (or Slurm's script), start nothing")
    parser.add_argument("--measure", action="store_true", help="time some steps of the first trial for the estimate")
    parser.add_argument("--status", action="store_true", help="print the state of every run, start nothing")
    parser.add_argument("--sync", action="store_true", help="upload what W&B has not got of the runs, start nothing")
    Resources.add_arguments(parser)


def _run(options: argparse.Namespace) -> int:
    if options.status:
        return run_status(options.file, options.runs)
    if options.sync:
        return run_sync(options.file, options.runs)

    def preflight(trials: Sequence[Sequence[str]], metric: str | None) -> None:
        from lit_cv.training.preflight import check_trials

        check_trials(trials, metric)

    return run_sweep(
        options.file,
        executor=options.executor,
        workers=options.workers,
        gpus_per_run=options.gpus_per_run,
        runs_per_gpu=options.runs_per_gpu,
        runs=options.runs,
        retry_failed=options.retry_failed,
        resources=Resources.of(options),
        dry_run=options.dry_run,
        measure=options.measure,
        preflight=preflight,
    )


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
