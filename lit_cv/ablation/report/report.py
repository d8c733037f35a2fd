"""Writes a report: chooses metric and baseline, states the facts and writes the files."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from lit_cv.ablation.plots.gallery import draw_gallery
from lit_cv.ablation.plots.plots import draw_all
from lit_cv.ablation.report.page import CAPTIONS, page
from lit_cv.ablation.report.web_table import arms_table, make_filters, runs_table
from lit_cv.ablation.results.comparability import Finding
from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.published import Published, find_published, load_published
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.ablation.results.tables import Table, comma_separated, latex, make_table, markdown
from lit_cv.ablation.sweep.labels import CONFIG, short_names, show_level
from lit_cv.errors import UserError
from lit_cv.runs.settings import canonical


def make_report(
    study: Study,
    findings: Sequence[Finding],
    *,
    metric: str | None = None,
    baseline: str | None = None,
    output: Path | None = None,
    published: Path | None = None,
    refresh: int | None = None,
) -> list[Path]:
    """Write the report of a study; see ``lit_cv.commands.report.run_report``.

    Args:
        study: The runs.
        findings: Findings about their comparability.
        metric: Logged name, or None.
        baseline: ``key=value`` pairs of an arm, or None.
        output: Folder of the report, or None.
        published: CSV with published numbers, or None.
        refresh: Seconds until the page reloads itself, or None.

    Returns:
        The written files, ``report.md`` first.
    """
    name = choose_metric(study, metric)
    own = metric_facts(study, name)
    file = published or find_published(study, maximize=own.higher_is_better)
    numbers = load_published(file, study) if file else None
    table = make_table(study, name, facts=own, baseline=find_baseline(study, baseline), published=numbers)
    findings = [*findings, *([Finding(own.warning, False)] if own.warning else [])]
    return write_report(study, table, findings, numbers, output or study.folders[0] / "report", refresh)


def choose_metric(study: Study, wanted: str | None) -> str:
    """Return the metric of the report; every run must have logged it.

    Raises:
        UserError: A run has not logged the metric.
    """
    name = wanted or (study.metric.name if study.metric else str(study.runs[0][1].result["best"]["metric"]))
    for _, run in study.runs:
        if name not in run.metrics:
            close = difflib.get_close_matches(name, run.metrics, n=3) or sorted(run.metrics)
            raise UserError(
                f"{run.folder / 'result.json'}: has no metric '{name}'; choose --metric from {', '.join(close)}."
            )
    return name


def find_baseline(study: Study, wanted: str | None) -> Arm:
    """Return the arm with the values ``key=value[,key=value]`` (keys may be short names), or the first arm.

    Raises:
        UserError: No arm or several arms have these values.
    """
    if wanted is None:
        return study.arms[0]
    keys = {short: key for key, short in short_names(study.swept).items()} | {key: key for key in study.swept}
    known = "|".join(map(re.escape, keys))  # the name of an object has commas and equals signs of its own
    pairs = [part.partition("=") for part in re.split(rf"[,\s]+(?=(?:{known})=)", wanted)]
    arms = study.arms
    for key, _, text in pairs:
        value = canonical(yaml.safe_load(text))
        arms = [
            arm
            for arm in arms
            if key in keys
            and (canonical(arm.values[keys[key]]) == value or show_level(keys[key], arm.values[keys[key]]) == text)
        ]
    if len(arms) != 1:
        labels = "; ".join(f"'{arm.label}'" for arm in study.arms)
        raise UserError(f"--baseline {wanted}: {len(arms)} arms have these values; the arms are {labels}.")
    return arms[0]


def write_report(
    study: Study,
    table: Table,
    findings: Sequence[Finding],
    published: Published | None,
    folder: Path,
    refresh: int | None = None,
) -> list[Path]:
    """Write report.md, report.html, table.csv, table.tex and the pictures; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [*draw_all(table, folder), *draw_gallery(table, study.seeds, folder)] if table.rows else []
    refused = [finding.text for finding in findings if finding.refuses]
    warned = [finding.text for finding in findings if not finding.refuses]
    line, notes = facts(study, refused), remarks(table, published)
    images = [f"\n![{CAPTIONS[file.name]}]({file.name})" for file in pictures]
    lists = _list("Not controlled:", refused) + _list("Warnings:", warned)
    paragraphs = [f"# {study.title}\n", f"{line}\n", markdown(table), *(f"{note}\n" for note in notes)]
    text = "\n".join([*paragraphs, *lists, *images])
    html = page(
        title=study.title,
        facts=line,
        filters=make_filters(study, table),
        arms=arms_table(table),
        runs=runs_table(study, table, folder),
        boxes=[("refused", refused), ("warned", warned)],
        notes=notes,
        pictures=pictures,
        refresh=refresh,
    )
    contents = {
        "report.md": text.rstrip() + "\n",
        "report.html": html,
        "table.csv": comma_separated(table, study.seeds),
        "table.tex": latex(table),
    }
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [*(folder / name for name in contents), *pictures]


def _list(title: str, texts: Sequence[str]) -> list[str]:
    return [f"{title}\n", *(f"- {text}" for text in texts), ""] if texts else []


def facts(study: Study, refused: Sequence[str]) -> str:
    """Return one line with seeds, budget, commit, data and whether the comparison is controlled."""
    runs = [run for _, run in study.runs]
    steps = [f"{count:,}" for count in sorted({run.result["steps"] for run in runs})]
    budget = f"{' to '.join(steps[:: max(1, len(steps) - 1)])} steps" if steps else "no run finished"
    commits = " ".join(sorted({str(run.result["git"]["commit"])[:7] for run in runs}))
    prints = " ".join(sorted({str(run.result["data"]["fingerprint"])[:7] for run in runs}))
    seeds = f"{len(study.seeds)} paired seeds" if len(study.seeds) > 1 else "1 seed"
    if study.method != "grid":
        seeds = f"{len(runs)} trials of a {study.method} search"
    waiting = f"{len(study.unfinished)} of {len(runs) + len(study.unfinished)} runs unfinished"
    parts = [*([waiting] if study.unfinished else []), seeds, budget, f"commit {commits}", f"data {prints}"]
    parts.append(f"controlled: {'no' if refused else 'yes'}")
    return " · ".join(parts)


def remarks(table: Table, published: Published | None) -> list[str]:
    """Return notes: agreement with the published order, source of the published numbers, and how to read the table."""
    notes = []
    order = table.order
    if order:
        against = f"; contradicted beyond it: {order.contradicted}" if order.contradicted else ""
        reproduced = f"{order.reproduced} of {order.pairs} pairs; beyond the interval: {order.beyond}{against}"
        notes.append(f"Order of the published arms reproduced: {reproduced}.")
    if published and any(row.published is not None for row in table.rows):
        notes.append(f"Published: {published.source}.")
    if CONFIG in table.names:
        notes.append("config: the arms are whole networks; only the network and its loss weights may differ.")
    unit = ", in percent" if table.percent else ""
    notes.append(
        f"{table.metric}: value at the end of training{unit}, mean ± standard deviation over seeds. Δ: difference to "
        "the baseline, paired by seed, with its 95 % Student-t interval (not corrected for several comparisons)."
    )
    return notes
