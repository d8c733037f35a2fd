"""``litcv report RUNS...``: check that the runs are comparable, then write the table and the pictures."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import Literal

from lit_cv.ablation.report.options import Options
from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.commands.terminal import fitted
from lit_cv.errors import UsageError
from lit_cv.runs.prose import say
from lit_cv.tracking.restore import restore

DEFAULTS = Options()


def add_parser(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "report", "turn the runs of a sweep into a table and pictures, if they are comparable",
                      "litcv report runs/quickstart --metric val/map_50", run)  # fmt: skip
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUNS", help="folder of a sweep's runs")
    parser.add_argument("--wandb", action="append", default=[], metavar="SOURCE",
                        help="folder of W&B's offline logs, or ENTITY/PROJECT/SWEEP on its server")  # fmt: skip
    parser.add_argument("--metric", help="metric of the table (default: the sweep's)")
    parser.add_argument("--value", choices=["last", "best"], default="last",
                        help="value of a run: of its last validation, or the best of all (default: last)")  # fmt: skip
    parser.add_argument("--baseline", help='arm that the others are compared with, as "key=value" (default: the first)')
    parser.add_argument("--compare", choices=["baseline", "all"], default="baseline",
                        help="compare with the baseline, or also all pairs of arms (default: baseline)")  # fmt: skip
    parser.add_argument("--published", type=Path,
                        help="CSV of published numbers (default: sweeps/published/<sweep>.csv)")  # fmt: skip
    parser.add_argument("--resolve", type=float, metavar="DIFFERENCE",
                        help="name the seeds with which this difference would be shown with 80 %% power, in the unit "
                             "of the table (percent points)")  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder of the report (default: RUNS/report)")
    parser.add_argument("--images", action=argparse.BooleanOptionalAction, default=None,
                        help="intervals over the validation images, from the runs' predictions (default: if they are "
                             "there and it is little work)")  # fmt: skip
    parser.add_argument("--measure", action="store_true",
                        help="first measure the time per image of all networks, in turns and alone")  # fmt: skip
    parser.add_argument("--checklist", action="store_true",
                        help="also fill a reproducibility checklist (checklist.md, and on the page)")  # fmt: skip
    parser.add_argument("--wandb-artifact", nargs="?", const="auto", choices=["auto", "online", "offline"],
                        metavar="MODE", help="also log the report to W&B: auto, online or offline")  # fmt: skip
    parser.add_argument("--analyze", action="store_true",
                        help="first analyze the predictions of all runs, to say what got better")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="write the report even if the runs are not comparable")
    parser.add_argument("--watch", type=int, nargs="?", const=10, metavar="SECONDS",
                        help="update the report every SECONDS (default: 10) until all runs are finished")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Carry out the parsed options; return the exit code."""
    if options.watch is not None and options.watch < 1:
        raise UsageError(f"--watch {options.watch}: give at least 1 second.")
    if not options.runs and not options.wandb:
        raise UsageError("report: name a folder of runs, such as runs/quickstart, or --wandb ENTITY/PROJECT/SWEEP.")
    if options.resolve is not None and not 0 < options.resolve < math.inf:
        raise UsageError(f"--resolve {options.resolve:g}: give a difference above 0, such as 0.5.")
    if options.measure and options.watch is not None:
        raise UsageError("--measure: the runs have to have ended; leave out --watch.")
    folders = [*options.runs, *map(restore, options.wandb)]
    if options.measure:
        from lit_cv.training.leaks import check_leaks
        from lit_cv.training.measuring import measure_groups  # imported here because it imports torch

        measure_groups(folders)
        check_leaks(folders)
    if options.analyze:
        _analyze(folders, options.baseline)
    wanted = Options(**{field.name: getattr(options, field.name) for field in fields(Options)})
    return run_report(
        folders,
        wanted,
        force=options.force,
        watch=options.watch,
        wandb_artifact=options.wandb_artifact,
    )


def _analyze(folders: list[Path], baseline: str | None) -> None:
    """Analyze the predictions of all runs, and compare the first arms with the baseline by runs of the same seed."""
    from lit_cv.ablation.plots.gallery import ARMS
    from lit_cv.ablation.report.report import find_baseline
    from lit_cv.ablation.results.study import load_study
    from lit_cv.training.scoring.analyzing import analyze_missing  # imported here because it imports torch

    study = load_study(folders)
    reference, pairs = find_baseline(study, baseline), []
    for arm in [arm for arm in study.arms if arm is not reference][: ARMS - 1]:
        shared = [seed for seed in reference.runs if seed in arm.runs]
        pairs += [(reference.runs[seed].folder, arm.runs[seed].folder) for seed in shared[:1]]
    analyze_missing([run.folder for _, run in study.runs], pairs)


def run_report(
    folders: list[Path],
    options: Options = DEFAULTS,
    *,
    force: bool = False,
    watch: int | None = None,
    wandb_artifact: Literal["auto", "online", "offline"] | None = None,
) -> int:
    """Compare the runs of one or several groups.

    Args:
        folders: Group folders, ``runs/<group>``.
        options: What to compare and what to write.
        force: Write the report even if the runs are not comparable; the report then says so.
        watch: Seconds between two updates while runs are unfinished; the report is then written even if the runs are
            not comparable. By default the report is written once.
        wandb_artifact: Mode in which the report is logged to W&B; None: it is not logged.

    Returns:
        0, or 1 if the runs are not comparable and ``force`` is not given.

    Raises:
        UserError: A folder has no finished run, the metric or baseline is unknown, or the published file is invalid.
    """
    # imported here because scipy and matplotlib take a while
    from lit_cv.ablation.images.paired import with_images
    from lit_cv.ablation.report.report import examine, make_report
    from lit_cv.ablation.report.watch import follow
    from lit_cv.ablation.results.study import Study, load_study

    watching = watch is not None

    def write(study: Study, *, refresh: int | None = None) -> list[Path]:
        over = partial(with_images, asked=options.images, resample=_resample)
        # while runs are unfinished, their predictions still change
        wanted = refresh is None and options.images is not False
        found = examine(study, options.metric, partial=watching)
        return make_report(study, found, options, refresh=refresh, images=over if wanted else None)

    named = options.metric is not None
    study = load_study(folders) if watch is None else follow(folders, watch, named=named, write=write)
    if study is None:
        return 0
    findings = examine(study, options.metric, partial=watching)
    refusals = [] if force else [finding.text for finding in findings if finding.refuses]
    if refusals:
        lines = ["These runs are not comparable:", *(f"- {text}" for text in refusals)]
        say("\n".join([*lines, "Fix them, or write the report anyway with --force."]), error=True)
    if not refusals or watching:
        files = write(study)
        text = files[0].read_text(encoding="utf-8").split("\n![")[0]
        print(fitted(text, get_terminal_size().columns) if sys.stdout.isatty() else text)
        print(*files, sep="\n")
        if wandb_artifact:
            from lit_cv.tracking.report import log_report

            project = next((run.config.get("run.project") for _, run in study.runs), None)
            log_report(files, study.folders[0], wandb_artifact, project)
    return 1 if refusals else 0


def _resample(folders: Sequence[Path], metric: str) -> dict[Path, str]:
    from lit_cv.training.scoring.bootstrap import resample_runs  # imported here because it imports torch

    return resample_runs(folders, metric)
