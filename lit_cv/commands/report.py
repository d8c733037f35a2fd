"""`litcv report RUNS...`: check that the runs can be compared, then write the table and the pictures."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.errors import UsageError

if TYPE_CHECKING:
    from lit_cv.ablation.results.comparability import Finding
    from lit_cv.ablation.results.study import Study


def add_parser(verbs: Verbs) -> None:
    """Add `report`."""
    parser = add_verb(verbs, "report", "turn the runs of a sweep into a table and pictures, if they are comparable",
                      "litcv report runs/quickstart --metric val/map_50", _run)  # fmt: skip
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUNS", help="folder of a sweep's runs")
    parser.add_argument("--wandb", action="append", default=[], metavar="SOURCE",
                        help="folder of W&B's offline logs, or ENTITY/PROJECT/SWEEP on its server")  # fmt: skip
    parser.add_argument("--metric", help="metric of the table (the sweep's)")
    parser.add_argument("--baseline", help='arm that differences are taken to, as "key=value" (the first arm)')
    parser.add_argument("--published", type=Path, help="CSV of published numbers (sweeps/published/<sweep>.csv)")
    parser.add_argument("--output", type=Path, help="where the report goes (RUNS/report)")
    parser.add_argument("--force", action="store_true", help="report runs that are not comparable all the same")
    parser.add_argument("--watch", type=int, nargs="?", const=10, metavar="SECONDS",
                        help="rewrite the report every SECONDS (10) until all runs are finished")  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    if options.watch is not None and options.watch < 1:
        raise UsageError(f"--watch {options.watch}: give a number of seconds from 1 on.")
    from lit_cv.tracking.restore import restore

    if not options.runs and not options.wandb:
        raise UsageError("report: name a folder of runs, such as runs/quickstart, or --wandb ENTITY/PROJECT/SWEEP.")
    return run_report(
        [*options.runs, *map(restore, options.wandb)],
        metric=options.metric,
        baseline=options.baseline,
        force=options.force,
        output=options.output,
        published=options.published,
        watch=options.watch,
    )


def run_report(
    folders: list[Path],
    *,
    metric: str | None = None,
    baseline: str | None = None,
    force: bool = False,
    output: Path | None = None,
    published: Path | None = None,
    watch: int | None = None,
) -> int:
    """Compare the runs of one or several groups.

    Args:
        folders: group folders, `runs/<group>`.
        metric: logged name; by default the sweep's metric, else the one by which the runs chose their best checkpoint.
        baseline: `key=value`, several separated by commas; by default the first arm.
        force: write the report although the runs are not comparable; it then says so.
        output: where to write; by default `report/` in the first group folder.
        published: CSV with published numbers; by default `published/<group>.csv` beside the sweep file.
        watch: seconds between two looks for news, while runs are unfinished; the report is then written even if runs
            are not comparable. By default it is written once.

    Returns:
        0, or 1 when the runs cannot be compared and `force` is not given.

    Raises:
        UserError: a folder without finished runs, an unknown metric or baseline, a bad published file.
    """
    from lit_cv.ablation.report.watch import follow
    from lit_cv.ablation.results.comparability import check
    from lit_cv.ablation.results.study import load_study

    write = partial(_report, metric=metric, baseline=baseline, output=output, published=published)
    watching = watch is not None
    study = load_study(folders) if watch is None else follow(folders, watch, named=metric is not None, write=write)
    if study is None:
        return 0
    findings = check(study, partial=watching)
    refusals = [] if force else [finding.text for finding in findings if finding.refuses]
    if refusals:
        print("These runs are not comparable:", *(f"- {text}" for text in refusals), sep="\n", file=sys.stderr)
        print("Fix them, or write the report nevertheless with --force.", file=sys.stderr)
    if not refusals or watching:
        files = write(study, findings)
        print(files[0].read_text(encoding="utf-8").split("\n![")[0])
        print(*files, sep="\n")
    return 1 if refusals else 0


def _report(
    study: "Study",
    findings: "Sequence[Finding]",
    *,
    metric: str | None,
    baseline: str | None,
    output: Path | None,
    published: Path | None,
    refresh: int | None = None,
) -> list[Path]:
    from lit_cv.ablation.report.report import choose_metric, find_baseline, is_maximized, write_report
    from lit_cv.ablation.results.published import find_published, load_published
    from lit_cv.ablation.results.tables import make_table

    name = choose_metric(study, metric)
    maximize = is_maximized(study, name)
    file = published or find_published(study, maximize=maximize)
    numbers = load_published(file, study) if file else None
    table = make_table(study, name, maximize=maximize, baseline=find_baseline(study, baseline), published=numbers)
    return write_report(study, table, findings, numbers, output or study.folders[0] / "report", refresh)
