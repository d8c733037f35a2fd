"""The table of a report: one row per arm, as Markdown, LaTeX and CSV."""

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lit_cv.ablation.results.intervals import Difference, Order, mean_std, order, paired_difference
from lit_cv.ablation.results.published import Published
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.ablation.sweep.labels import level, short_names

IN_PERCENT = re.compile(r"(^|[_/])(m?ap|mar|m?iou|pckh?|acc|accuracy|error|recall|precision)([_/]|$)")
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
        scores: seed -> final value of the metric, as logged.
        difference: paired difference to the baseline; None for the baseline itself and where no seed is shared.
        published: the paper's number in its own unit.
        params: parameters of the network.
        gflops: per image.
        ms: milliseconds per image, the median over the seeds.
        gigabytes: largest peak memory of the seeds.
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
        """Sample standard deviation over the seeds, NaN for one seed."""
        return mean_std(list(self.scores.values()))[1]


@dataclass(frozen=True)
class Table:
    """All rows, and what is needed to write them down.

    Attributes:
        metric: the compared metric.
        maximize: whether more is better.
        names: swept key -> its short name.
        baseline: the arm that all others are compared with.
    """

    metric: str
    maximize: bool
    names: dict[str, str]
    baseline: Arm
    rows: list[Row]

    @property
    def percent(self) -> bool:
        """AP, IoU, PCK, accuracies and errors are written in percent with one decimal; other metrics as logged."""
        return bool(IN_PERCENT.search(self.metric))

    @property
    def scale(self) -> float:
        """What a logged value is multiplied with when it is shown."""
        return 100.0 if self.percent else 1.0

    @property
    def order(self) -> Order | None:
        """How far the published order is reproduced, None without two published values."""
        rows = [row for row in self.rows if row.published is not None]
        found = order([row.scores for row in rows], [row.published for row in rows if row.published is not None])
        return found if found.pairs else None


def make_table(study: Study, metric: str, *, maximize: bool, baseline: Arm, published: Published | None) -> Table:
    """Reduce the runs of a study to one row per arm, those of a search sorted from the best to the worst."""
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
        rows.sort(key=lambda row: row.mean, reverse=maximize)
    return Table(metric, maximize, short_names(study.swept), baseline, rows)


def _numbers(arm: Arm, name: str) -> list[float]:
    return [run.result[name] for run in arm.runs.values() if run.result.get(name) is not None]


def _middle(arm: Arm, name: str) -> float | None:
    numbers = _numbers(arm, name)
    return statistics.median(numbers) if numbers else None


def cells(table: Table) -> list[list[str]]:
    """The header and the rows as text."""
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
    """`41.2 ± 0.4` in percent or `0.2512 ± 0.0031` as logged; the spread of one seed is `–`."""
    return f"{scaled(table, mean)} ± {NOTHING if math.isnan(std) else scaled(table, std)}"


def difference(table: Table, row: Row) -> str:
    """`+3.7 [+2.9, +4.5]`; the interval of one seed is `–`."""
    if row.arm is table.baseline:
        return "baseline"
    if row.difference is None:
        return NOTHING
    low, high = (scaled(table, bound, "+") for bound in (row.difference.low, row.difference.high))
    bounds = NOTHING if math.isnan(row.difference.low) else f"[{low}, {high}]"
    return f"{scaled(table, row.difference.mean, '+')} {bounds}"


def scaled(table: Table, value: float, sign: str = "") -> str:
    """`41.2`: a value of the metric in percent, or with four decimals as logged."""
    return format(value * table.scale, f"{sign}.{1 if table.percent else 4}f")


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def markdown(table: Table) -> str:
    """The table in Markdown, padded so that it can be read in a terminal."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in cells(table)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded) + "\n"


def latex(table: Table) -> str:
    """The table in LaTeX, with the package booktabs, and longtable where it is longer than a page."""
    header, *rows = [" & ".join(map(escape_latex, line)) + r" \\" for line in cells(table)]
    factors, numbers = len(table.names), len(cells(table)[0]) - len(table.names)
    repeated = [r"\endhead"] if len(rows) > ROWS_OF_A_PAGE else []
    body = [r"\toprule", header, r"\midrule", *repeated, *rows, r"\bottomrule"]
    kind = "longtable" if len(rows) > ROWS_OF_A_PAGE else "tabular"
    return "\n".join([rf"\begin{{{kind}}}{{{'l' * factors}{'r' * numbers}}}", *body, rf"\end{{{kind}}}"]) + "\n"


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def comma_separated(table: Table, seeds: Sequence[int | None]) -> str:
    """The table as CSV at full precision and in logged units; swept values are JSON, what does not exist is empty."""
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
