"""`litcv report RUNS...`: check that the runs are comparable, then write the table and the pictures."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lit_cv.ablation.report.report import choose_metric, find_baseline, is_maximized, write_report
from lit_cv.ablation.report.watch import follow
from lit_cv.ablation.results.comparability import Finding, check
from lit_cv.ablation.results.published import find_published, load_published
from lit_cv.ablation.results.study import Study, load_study
from lit_cv.ablation.results.tables import make_table


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
        folders: Group folders, ``runs/<group>``.
        metric: Logged name; by default the sweep's metric, else the metric that selected the best checkpoint.
        baseline: ``key=value`` pairs separated by commas; by default the first arm.
        force: Write the report even if the runs are not comparable; the report then says so.
        output: Folder of the report; by default ``report/`` in the first group folder.
        published: CSV with published numbers; by default ``published/<group>.csv`` beside the sweep file.
        watch: Seconds between two updates while runs are unfinished; the report is then written even if the runs are
            not comparable. By default the report is written once.

    Returns:
        0, or 1 if the runs are not comparable and ``force`` is not given.

    Raises:
        UserError: A folder has no finished run, the metric or baseline is unknown, or the published file is invalid.
    """
    write = partial(_report, metric=metric, baseline=baseline, output=output, published=published)
    watching = watch is not None
    study = load_study(folders) if watch is None else follow(folders, watch, named=metric is not None, write=write)
    if study is None:
        return 0
    findings = check(study, partial=watching)
    refusals = [] if force else [finding.text for finding in findings if finding.refuses]
    if refusals:
        print("These runs are not comparable:", *(f"- {text}" for text in refusals), sep="\n", file=sys.stderr)
        print("Fix them, or write the report anyway with --force.", file=sys.stderr)
    if not refusals or watching:
        files = write(study, findings)
        print(files[0].read_text(encoding="utf-8").split("\n![")[0])
        print(*files, sep="\n")
    return 1 if refusals else 0


def _report(
    study: Study,
    findings: Sequence[Finding],
    *,
    metric: str | None,
    baseline: str | None,
    output: Path | None,
    published: Path | None,
    refresh: int | None = None,
) -> list[Path]:
    name = choose_metric(study, metric)
    maximize = is_maximized(study, name)
    file = published or find_published(study, maximize=maximize)
    numbers = load_published(file, study) if file else None
    table = make_table(study, name, maximize=maximize, baseline=find_baseline(study, baseline), published=numbers)
    return write_report(study, table, findings, numbers, output or study.folders[0] / "report", refresh)
