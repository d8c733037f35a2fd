"""Writes a report: chooses metric and baseline, states the facts and writes the files."""

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from lit_cv.ablation.plots.gallery import draw_gallery
from lit_cv.ablation.plots.plots import draw_all
from lit_cv.ablation.report.better import find_better
from lit_cv.ablation.report.checklist import SOURCE, as_markdown, checklist
from lit_cv.ablation.report.commands import as_text, of_report
from lit_cv.ablation.report.listings import listings
from lit_cv.ablation.report.options import Options
from lit_cv.ablation.report.page import CAPTIONS, page
from lit_cv.ablation.report.resolution import about_resolution, about_stages
from lit_cv.ablation.report.web_table import arms_table, make_filters, runs_table
from lit_cv.ablation.report.words import facts, remarks
from lit_cv.ablation.results.cells import comma_separated, markdown
from lit_cv.ablation.results.comparability import Finding, check
from lit_cv.ablation.results.latex import latex
from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.published import find_published, load_published
from lit_cv.ablation.results.scores import choose_metric, without_metric
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.ablation.results.tables import Table, make_table
from lit_cv.ablation.results.traps.leaks import about_leaks
from lit_cv.ablation.results.traps.traps import find_traps
from lit_cv.ablation.sweep.labels import short_names, show_level
from lit_cv.errors import UserError
from lit_cv.runs.settings import canonical
from lit_cv.runs.yaml_text import parse_yaml

NEAREST = 5
COMMANDS = "Commands: commands.txt has that of each number; on the page, open a number to see the one that makes it."
OPTIONAL = {"effects.csv", "pairs.csv", "checklist.md"}
WithImages = Callable[[Table], tuple[Table, list[str]]]  # returns notes, too


def examine(study: Study, metric: str | None, *, partial: bool = False) -> list[Finding]:
    """Compare the runs of a study, and check that each has a finite value of the metric.

    Args:
        study: The runs.
        metric: Logged name, or None.
        partial: Whether the sweep is still active.

    Raises:
        UserError: No run has the metric.
    """
    lacking = without_metric(study, choose_metric(study, metric))
    grid = study.method == "grid"  # a search continues without failed trials
    found = [*check(study, partial=partial), *(Finding(text, grid, not grid) for text in lacking)]
    return sorted(found, key=lambda finding: not finding.refuses)


def make_report(
    study: Study,
    findings: Sequence[Finding],
    options: Options,
    *,
    refresh: int | None = None,
    images: WithImages | None = None,
) -> list[Path]:
    """Write the report of a study.

    Args:
        study: The runs.
        findings: Findings about their comparability.
        options: What to compare and what to write.
        refresh: Seconds until the page reloads itself, or None.
        images: Adds intervals over images to the table, see ``lit_cv.ablation.images.paired.with_images``.

    Returns:
        The written files, ``report.md`` first.
    """
    name = choose_metric(study, options.metric)
    own = metric_facts(study, name)
    file = options.published or find_published(study, maximize=own.higher_is_better)
    numbers = load_published(file, study) if file else None
    arm = find_baseline(study, options.baseline)
    table = make_table(study, name, facts=own, baseline=arm, published=numbers, value=options.value)
    table, more = images(table) if images else (table, [])
    findings = [*findings, *([Finding(own.warning, False)] if own.warning else [])]
    findings += [Finding(text, False) for text in find_traps(study, table)]
    notes = [*about_stages(study, table), *about_resolution(study, table, options.resolve)]
    notes += [*remarks(study, table, numbers), *more, *about_leaks(study), COMMANDS]
    return write_report(study, table, findings, notes, options, refresh)


def find_baseline(study: Study, wanted: str | None) -> Arm:
    """Return the arm of `--baseline`, see ``find_arm``, or the first one."""
    return study.arms[0] if wanted is None else find_arm(study, wanted)


def find_arm(study: Study, wanted: str, option: str = "--baseline") -> Arm:
    """Return the arm with the values ``key=value[,key=value]``; keys may be short names.

    Args:
        study: The arms.
        wanted: The values.
        option: Name of the values' place in messages.

    Raises:
        UserError: No arm or several arms have these values.
    """
    keys = {short: key for key, short in short_names(study.swept).items()} | {key: key for key in study.swept}
    known = "|".join(map(re.escape, keys))  # the name of an object has commas and equals signs of its own
    pairs = [part.partition("=") for part in re.split(rf"[,\s]+(?=(?:{known})=)", wanted)]
    arms = study.arms
    for key, _, text in pairs:
        try:
            value = canonical(parse_yaml(text))
        except ValueError as error:
            raise UserError(f"{option} {wanted}: {text} is no value ({error}); fix it.") from None
        arms = [
            arm
            for arm in arms
            if key in keys
            and (canonical(arm.values[keys[key]]) == value or show_level(keys[key], arm.values[keys[key]]) == text)
        ]
    if len(arms) != 1:
        labels = [arm.label for arm in arms or study.arms]
        near = sorted(labels, key=lambda label: -difflib.SequenceMatcher(None, wanted, label).ratio())[:NEAREST]
        known = "; ".join(f"'{label}'" for label in near)
        which = f"the nearest of {len(labels)} are" if len(labels) > NEAREST else "the arms are"
        raise UserError(f"{option} {wanted}: {len(arms)} arms have these values; {which} {known}.")
    return arms[0]


def write_report(
    study: Study,
    table: Table,
    findings: Sequence[Finding],
    notes: Sequence[str],
    options: Options,
    refresh: int | None = None,
) -> list[Path]:
    """Write report.md, report.html, table.csv, table.tex, commands.txt, further tables and pictures; return them."""
    folder = options.output or study.folders[0] / "report"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [*draw_all(table, folder), *draw_gallery(table, study.seeds, folder)] if table.rows else []
    refused = [finding.text for finding in findings if finding.refuses]
    warned = [finding.text for finding in findings if not finding.refuses]
    line = facts(study, table, controlled=all(finding.controlled for finding in findings))
    command = of_report(study.folders, options.given | {"force": bool(refused)})
    items = checklist(study, table) if options.checklist else []
    better = find_better(table, folder) if table.rows else None
    images = [f"\n![{CAPTIONS[file.name]}]({file.name})" for file in pictures]
    lists = _list("Not controlled:", refused) + _list("Warnings:", warned)
    further = listings(table, options.compare)
    paragraphs = [f"# {study.title}\n", f"{line}\n", markdown(table), *(f"{note}\n" for note in notes)]
    paragraphs += [listing.markdown for listing in further]
    text = "\n".join([*paragraphs, *lists, *([better.markdown()] if better else []), *images])
    html = page(
        title=study.title,
        facts=line,
        filters=make_filters(study, table),
        arms=arms_table(table, command),
        runs=runs_table(study, table, folder),
        boxes=[("refused", refused), ("warned", warned)],
        notes=notes,
        listings=further,
        pictures=pictures,
        better=better.html() if better else Markup(),
        checklist=(SOURCE, items) if items else None,
        refresh=refresh,
    )
    contents = {
        "report.md": text.rstrip() + "\n",
        "report.html": html,
        "table.csv": comma_separated(table, study.seeds),
        "table.tex": latex(table),
        "commands.txt": as_text(study, table, command),
        **{listing.file: listing.csv for listing in further if listing.csv},
        **({"checklist.md": as_markdown(study.title, items)} if items else {}),
    }
    for name in OPTIONAL - contents.keys():
        (folder / name).unlink(missing_ok=True)  # that of an earlier report would be taken for this one's
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [*(folder / name for name in contents), *pictures]


def _list(title: str, texts: Sequence[str]) -> list[str]:
    return [f"{title}\n", *(f"- {text}" for text in texts), ""] if texts else []
