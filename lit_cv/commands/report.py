"""``litcv report RUNS...``: check that the runs are comparable, then write the table and the pictures."""

import argparse
import sys
from functools import partial
from pathlib import Path
from shutil import get_terminal_size

from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.commands.terminal import fitted
from lit_cv.errors import UsageError
from lit_cv.tracking.restore import restore


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
    parser.add_argument("--output", type=Path, help="folder of the report (default: RUNS/report)")
    parser.add_argument("--measure", action="store_true",
                        help="first measure the time per image of all networks, in turns and alone")  # fmt: skip
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
    if options.measure and options.watch is not None:
        raise UsageError("--measure: the runs have to have ended; leave out --watch.")
    folders = [*options.runs, *map(restore, options.wandb)]
    if options.measure:
        from lit_cv.training.measuring import measure_groups  # imported here because it imports torch

        measure_groups(folders)
    if options.analyze:
        _analyze(folders)
    return run_report(
        folders,
        metric=options.metric,
        value=options.value,
        baseline=options.baseline,
        force=options.force,
        output=options.output,
        published=options.published,
        compare=options.compare,
        watch=options.watch,
    )


def _analyze(folders: list[Path]) -> None:
    """Analyze the predictions of all runs, and compare the first arms with the first one by runs of the same seed."""
    from lit_cv.ablation.plots.gallery import ARMS
    from lit_cv.ablation.results.study import load_study
    from lit_cv.training.scoring.analyzing import analyze_missing  # imported here because it imports torch

    study = load_study(folders)
    baseline, pairs = study.arms[0].runs, []
    for arm in study.arms[1:ARMS]:
        shared = [seed for seed in baseline if seed in arm.runs]
        pairs += [(baseline[seed].folder, arm.runs[seed].folder) for seed in shared[:1]]
    analyze_missing([run.folder for _, run in study.runs], pairs)


def run_report(
    folders: list[Path],
    *,
    metric: str | None = None,
    value: str = "last",
    baseline: str | None = None,
    force: bool = False,
    output: Path | None = None,
    published: Path | None = None,
    compare: str = "baseline",
    watch: int | None = None,
) -> int:
    """Compare the runs of one or several groups.

    Args:
        folders: Group folders, ``runs/<group>``.
        metric: Logged name; by default the sweep's metric, else the metric that selected the best checkpoint.
        value: ``last``: a run counts with its last validation; ``best``: with its best one.
        baseline: ``key=value`` pairs separated by commas; by default the first arm.
        force: Write the report even if the runs are not comparable; the report then says so.
        output: Folder of the report; by default ``report/`` in the first group folder.
        published: CSV with published numbers; by default ``published/<group>.csv`` beside the sweep file.
        compare: ``baseline``, or ``all``: also all pairs of arms.
        watch: Seconds between two updates while runs are unfinished; the report is then written even if the runs are
            not comparable. By default the report is written once.

    Returns:
        0, or 1 if the runs are not comparable and ``force`` is not given.

    Raises:
        UserError: A folder has no finished run, the metric or baseline is unknown, or the published file is invalid.
    """
    # imported here because scipy and matplotlib take a while
    from lit_cv.ablation.report.report import examine, make_report
    from lit_cv.ablation.report.watch import follow
    from lit_cv.ablation.results.study import Study, load_study

    watching = watch is not None
    make = partial(
        make_report,
        metric=metric,
        value=value,
        baseline=baseline,
        output=output,
        published=published,
        compare=compare,
    )

    def write(study: Study, *, refresh: int | None = None) -> list[Path]:
        return make(study, examine(study, metric, partial=watching), refresh=refresh)

    study = load_study(folders) if watch is None else follow(folders, watch, named=metric is not None, write=write)
    if study is None:
        return 0
    findings = examine(study, metric, partial=watching)
    refusals = [] if force else [finding.text for finding in findings if finding.refuses]
    if refusals:
        print("These runs are not comparable:", *(f"- {text}" for text in refusals), sep="\n", file=sys.stderr)
        print("Fix them, or write the report anyway with --force.", file=sys.stderr)
    if not refusals or watching:
        files = write(study)
        text = files[0].read_text(encoding="utf-8").split("\n![")[0]
        print(fitted(text, get_terminal_size().columns) if sys.stdout.isatty() else text)
        print(*files, sep="\n")
    return 1 if refusals else 0
