"""``litcv sweep FILE``: run every trial of a W&B sweep file that has no result yet."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lit_cv.ablation.executors import registry
from lit_cv.ablation.launch import Times, launch
from lit_cv.ablation.stages import Goal, continued, run_stages
from lit_cv.ablation.status import status
from lit_cv.ablation.sweep.plan import Preflight, plan
from lit_cv.ablation.sweep.same_runs import Fingerprint, unknown
from lit_cv.ablation.sweep.search import refuse_other_search
from lit_cv.ablation.sweep.sweep_file import Metric, Sweep, load_sweep
from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.errors import UsageError
from lit_cv.tracking.sync import sync

MOST_TIMED = 64  # networks of a sweep that are measured without being asked


def add_parser(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "sweep", "run every trial of a W&B sweep file; run it again to finish missing trials",
                      "litcv sweep sweeps/quickstart.yaml --workers 2", run)  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="a W&B sweep file")
    parser.add_argument("--retry-failed", action="store_true", help="also run trials that failed in an earlier call")
    parser.add_argument("--runs", type=int, help="number of runs of a random or Bayesian sweep, at most its `run_cap`")
    parser.add_argument("--resolve", type=float, metavar="WIDTH",
                        help="add seeds to all arms until every interval is at most +- WIDTH, in the unit of the table "
                             "(percent points)")  # fmt: skip
    parser.add_argument("--max-seeds", type=int, metavar="N", help="largest number of seeds with --resolve")
    parser.add_argument("--dry-run", action="store_true", help="print the commands (or Slurm's script); start no run")
    parser.add_argument("--measure", action=argparse.BooleanOptionalAction, default=None,
                        help="estimate the cost by timing a few steps of each structure (default: on a first dry run, "
                             "for at most 20 s)")  # fmt: skip
    parser.add_argument("--status", action="store_true", help="print the state of every run; start no run")
    parser.add_argument("--sync", action="store_true",
                        help="upload missing data of finished runs to W&B; start no run")  # fmt: skip
    registry.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Carry out the parsed options; return the exit code."""
    if options.status:
        return run_status(options.file, options.runs)
    if options.sync:
        return run_sync(options.file, options.runs)
    return run_sweep(
        options.file,
        executor=options.executor,
        runs=options.runs,
        retry_failed=options.retry_failed,
        dry_run=options.dry_run,
        measure=options.measure,
        preflight=_preflight,
        fingerprint=partial(_fingerprint, generate=not options.dry_run),
        times=_times,
        leaks=_leaks,
        goal=_goal(options.resolve, options.max_seeds),
        **registry.given_options(options),
    )


def run_sweep(
    path: Path,
    *,
    executor: str = "local",
    runs: int | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    measure: bool | None = False,
    preflight: Preflight,
    fingerprint: Fingerprint = unknown,
    times: Times | None = None,
    leaks: Times | None = None,
    goal: Goal | None = None,
    **options: Any,
) -> int:
    """Run a sweep file.

    Args:
        path: A W&B sweep file.
        executor: Name of an executor in ``lit_cv.ablation.executors.registry``.
        runs: Maximum number of runs of a search, unless the file has a smaller ``run_cap``.
        retry_failed: Also run trials that failed in an earlier call.
        dry_run: Only print the trials.
        measure: Estimate the cost by timing a few steps; None: only on a dry run without earlier runs.
        preflight: Called before the first run starts, with the arguments of every run to be done and its metric;
            raises UserError for a parameter or metric that the experiment does not have.
        fingerprint: Returns the fingerprint of the data that a run's arguments name, or None if it is not here.
        times: Measures the time per image of a group's runs when all have ended; by default nothing does.
        leaks: Looks for images in two splits of the data of a group's runs; by default nothing does.
        goal: Width of the intervals up to which seeds are added.
        options: Options of the executor, such as ``workers=2``.

    Returns:
        0 if every run of the sweep is finished or submitted, else 1.

    Raises:
        UserError: The sweep file is invalid, the executor is unknown or does not accept an option, or another process
            is running the same sweep.
    """
    sweep = _load(path, runs)
    place = registry.make_executor(executor, sweep, options)
    if sweep.method != "grid" and goal is None:
        code = place.search(sweep, dry_run=dry_run, preflight=preflight)
        if code is not None:
            return code
        refuse_other_search(sweep, on_server=False)
    go = partial(
        launch,
        executor=place,
        dry_run=dry_run,
        measure=measure,
        retry_failed=retry_failed,
        preflight=preflight,
        fingerprint=fingerprint,
        times=times,
        leaks=leaks,
    )
    if goal is None:
        return go(sweep)
    return run_stages(sweep, goal, go, dry_run=dry_run, waits=place.waits, fingerprint=fingerprint)


def _goal(width: float | None, most: int | None) -> Goal | None:
    if width is None and most is None:
        return None
    if width is None or most is None:
        raise UsageError("--resolve WIDTH and --max-seeds N belong together; give both, such as 0.5 and 12.")
    if not 0 < width < math.inf:
        raise UsageError(f"--resolve {width:g}: give a width above 0, such as 0.5.")
    return Goal(width, most)


def run_sync(path: Path, runs: int | None = None) -> int:
    """Upload data of a sweep's runs that W&B lacks; see ``sync`` and ``run_sweep``."""
    return sync(plan(_load(path, runs))[0].folder.parent)


def run_status(path: Path, runs: int | None = None) -> int:
    """Print the state of every run of a sweep file and return 0.

    Raises:
        UserError: The sweep file is invalid.
    """
    sweep = _load(path, runs)
    print(status(sweep.name, plan(sweep, partial(_fingerprint, generate=False))))
    return 0


def _load(path: Path, runs: int | None) -> Sweep:
    sweep = continued(load_sweep(path))
    if runs is not None and runs < 1:
        raise UsageError(f"--runs {runs}: give at least 1.")
    return sweep if runs is None else replace(sweep, run_cap=min(runs, sweep.run_cap or runs))


def _preflight(trials: Sequence[Sequence[str]], metric: Metric | None) -> None:
    from lit_cv.training.preflight import check_trials  # imported here because it imports torch

    check_trials(trials, *((metric.name, metric.goal) if metric else (None,)))


def _times(group: Path) -> None:
    from lit_cv.training.measuring import measure_groups  # imported here because it imports torch

    measure_groups([group], most=MOST_TIMED)


def _leaks(group: Path) -> None:
    from lit_cv.training.leaks import check_leaks  # imported here because it imports torch

    check_leaks([group])


def _fingerprint(args: Sequence[str], *, generate: bool) -> str | None:
    from lit_cv.training.experiment import data_fingerprint  # imported here because it imports torch

    return data_fingerprint(args, generate=generate)
