"""The table of a report: one row per arm, as Markdown, LaTeX and CSV."""

import csv
import io
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lit_cv.ablation.results.intervals import Difference, Order, mean_std, order, paired_difference
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.published import Published
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.ablation.sweep.labels import level, short_names

NOTHING = "–"
ROWS_OF_A_PAGE = 40
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl needs fonts in T1 encoding
}


@dataclass(frozen=True)
class Row:
    """One arm.

    Attributes:
        arm: The arm.
        scores: Final value of the metric by seed, as logged.
        difference: Paired difference to the baseline; None for the baseline itself and without shared seeds.
        published: Published number in its own unit.
        params: Number of parameters of the network.
        gflops: GFLOPs per image.
        ms: Milliseconds per image, the median over the seeds.
        gigabytes: Largest peak memory over the seeds.
    """

    arm: Arm
    scores: dict[int | None, float]
    difference: Difference | None
    published: float | None
    params: float | None
    gflops: float | None
    ms: float | None
    gigabytes: float | None

    @property
    def mean(self) -> float:
        """Mean score over the seeds, as logged."""
        return mean_std(list(self.scores.values()))[0]

    @property
    def std(self) -> float:
        """Sample standard deviation over the seeds; NaN for one seed."""
        return mean_std(list(self.scores.values()))[1]


@dataclass(frozen=True)
class Table:
    """The rows and their presentation.

    Attributes:
        metric: The compared metric.
        facts: Unit and direction of the metric.
        names: Maps each swept key to its short name.
        baseline: The arm that all others are compared with.
        rows: One row per arm.
    """

    metric: str
    facts: MetricFacts
    names: dict[str, str]
    baseline: Arm
    rows: list[Row]

    @property
    def maximize(self) -> bool:
        """Whether a higher value is better."""
        return self.facts.higher_is_better

    @property
    def percent(self) -> bool:
        """Whether the metric is shown in percent, with one decimal, or as logged."""
        return self.facts.percent

    @property
    def scale(self) -> float:
        """Factor between the logged and the shown value."""
        return 100.0 if self.percent else 1.0

    @property
    def order(self) -> Order | None:
        """Agreement with the published order; None with fewer than two published values."""
        rows = [row for row in self.rows if row.published is not None]
        found = order([row.scores for row in rows], [row.published for row in rows if row.published is not None])
        return found if found.pairs else None


def make_table(study: Study, metric: str, *, facts: MetricFacts, baseline: Arm, published: Published | None) -> Table:
    """Reduce the runs of a study to one row per arm; the rows of a search are sorted from best to worst."""
    reference = baseline.scores(metric)
    rows = []
    for arm in (arm for arm in study.arms if arm.runs):
        scores = arm.scores(metric)
        seconds = _middle(arm, "seconds_per_image")
        rows.append(
            Row(
                arm=arm,
                scores=scores,
                difference=None if arm is baseline else paired_difference(scores, reference),
                published=published.of(arm) if published else None,
                params=_middle(arm, "params"),
                gflops=_middle(arm, "gflops"),
                ms=None if seconds is None else 1000 * seconds,
                gigabytes=max(_numbers(arm, "peak_memory_gb"), default=None),
            )
        )
    if study.method != "grid":
        rows.sort(key=lambda row: row.mean, reverse=facts.higher_is_better)
    return Table(metric, facts, short_names(study.swept), baseline, rows)


def _numbers(arm: Arm, name: str) -> list[float]:
    return [run.result[name] for run in arm.runs.values() if run.result.get(name) is not None]


def _middle(arm: Arm, name: str) -> float | None:
    numbers = _numbers(arm, name)
    return statistics.median(numbers) if numbers else None


def cells(table: Table) -> list[list[str]]:
    """Return the header and the rows as text."""
    with_published = any(row.published is not None for row in table.rows)
    header = [*table.names.values(), table.metric, "Δ to baseline [95 %]"]
    lines = [header + (["published"] if with_published else []) + ["params", "GFLOPs", "ms/image", "GB"]]
    for row in table.rows:
        line = [level(key, row.arm.values[key]) for key in table.names]
        line += [score(table, row.mean, row.std), difference(table, row)]
        line += [_number(row.published, ".1f")] if with_published else []
        line += ["–" if row.params is None else f"{row.params / 1e6:.1f} M", _number(row.gflops, ".1f")]
        lines.append([*line, _number(row.ms, ".1f"), _number(row.gigabytes, ".2f")])
    return lines


def score(table: Table, mean: float, std: float) -> str:
    """Return ``41.2 ± 0.4`` in percent or ``0.2512 ± 0.0031`` as logged; the spread of one seed is ``–``."""
    return f"{scaled(table, mean)} ± {NOTHING if math.isnan(std) else scaled(table, std)}"


def difference(table: Table, row: Row) -> str:
    """Return ``+3.7 [+2.9, +4.5]``; the interval of one seed is ``–``."""
    if row.arm is table.baseline:
        return "baseline"
    if row.difference is None:
        return NOTHING
    low, high = (scaled(table, bound, "+") for bound in (row.difference.low, row.difference.high))
    bounds = NOTHING if math.isnan(row.difference.low) else f"[{low}, {high}]"
    return f"{scaled(table, row.difference.mean, '+')} {bounds}"


def scaled(table: Table, value: float, sign: str = "") -> str:
    """Return a value of the metric in percent with one decimal, or as logged with four decimals."""
    return format(value * table.scale, f"{sign}.{1 if table.percent else 4}f")


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def markdown(table: Table) -> str:
    """Return the table in Markdown, padded for reading in a terminal."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in cells(table)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded) + "\n"


def latex(table: Table) -> str:
    """Return the table in LaTeX, with the package booktabs, and longtable if it is longer than a page."""
    header, *rows = [" & ".join(map(escape_latex, line)) + r" \\" for line in cells(table)]
    factors, numbers = len(table.names), len(cells(table)[0]) - len(table.names)
    repeated = [r"\endhead"] if len(rows) > ROWS_OF_A_PAGE else []
    body = [r"\toprule", header, r"\midrule", *repeated, *rows, r"\bottomrule"]
    kind = "longtable" if len(rows) > ROWS_OF_A_PAGE else "tabular"
    return "\n".join([rf"\begin{{{kind}}}{{{'l' * factors}{'r' * numbers}}}", *body, rf"\end{{{kind}}}"]) + "\n"


def escape_latex(text: str) -> str:
    """Escape LaTeX's special characters."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def comma_separated(table: Table, seeds: Sequence[int | None]) -> str:
    """Return the table as CSV in full precision and logged units; swept values are JSON, missing values are empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    costs = ["params", "gflops", "ms_per_image", "peak_memory_gb"]
    names = ["mean", "std", "difference", "low", "high", "published", *costs]
    writer.writerow([*table.names, *(f"seed_{seed}" for seed in seeds), *names])
    for row in table.rows:
        gap = row.difference or Difference(math.nan, math.nan, math.nan, 0)
        numbers = [row.scores.get(seed) for seed in seeds]
        numbers += [row.mean, row.std, gap.mean, gap.low, gap.high, row.published]
        numbers += [row.params, row.gflops, row.ms, row.gigabytes]
        factors = [json.dumps(row.arm.values[key]) for key in table.names]
        writer.writerow(factors + ["" if n is None or math.isnan(n) else repr(n) for n in numbers])
    return out.getvalue()
