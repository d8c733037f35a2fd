"""`litcv stats CONFIG`: count what an experiment's data holds, on the console and on one page."""

import argparse
import hashlib
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UserError

if TYPE_CHECKING:
    from datamodules.base import DataModule
    from datamodules.statistics.charts import Chart, Fact, Statistics

WIDTH = 80  # columns of the console
MARK = '<p class="facts">Statistics of '  # a page without it is not overwritten


def add_parser(verbs: Verbs) -> None:
    """Add `stats`."""
    parser = add_verb(verbs, "stats", "count classes, sizes and places of an experiment's data, on one page",
                      "litcv stats experiments/voc/ssd_squeezenet.yaml --data.root=data", _run)  # fmt: skip
    add_config(parser)
    parser.add_argument("--output", type=Path, help="HTML file (default: stats/<folder>/<experiment>-<digest>.html)")
    parser.add_argument("--wandb", nargs="?", const="auto", choices=["auto", "online", "offline"], metavar="MODE",
                        help="also log to W&B: auto (default), online or offline")  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    config, overrides = options.config, options.overrides
    refuse_missing_config(["--config", str(config)])
    output = options.output or default_output(config, overrides)
    _refuse_foreign(output)
    statistics, facts = statistics_of(config, overrides)
    splits = list(statistics.facts[0].values)
    print(*_summary(statistics, splits), sep="\n")
    _write(output, page(config.stem, facts, statistics, splits))
    print(f"written: {output}")
    if options.wandb:
        from lit_cv.tracking.statistics import log_statistics

        log_statistics(output, config, overrides, options.wandb, _numbers(statistics.facts))
    return 0


def default_output(config: Path, overrides: Sequence[str]) -> Path:
    """Return a file below `stats/` that differs for each experiment and set of overrides."""
    digest = hashlib.sha256("\0".join([str(config.resolve()), *overrides]).encode()).hexdigest()[:6]
    return Path("stats") / config.resolve().parent.name / f"{config.stem}-{digest}.html"


def statistics_of(config: Path, overrides: Sequence[str]) -> "tuple[Statistics, str]":
    """Return the statistics of an experiment's data, and a line about the data and the network.

    Args:
        config: An experiment's YAML file.
        overrides: Dotted options, as for `fit`.

    Raises:
        UserError: Bad options, unusable data, or a DataModule from outside this project.
    """
    from datamodules.base import DataModule
    from datamodules.statistics.collect import collect
    from lit_cv.models.anchor_fit import AnchorFit
    from lit_cv.models.detection.anchors import Anchored
    from lit_cv.training.experiment import parsed
    from lit_cv.training.from_data import data_module
    from lit_cv.training.preflight import built_task

    experiment = parsed(["fit", "--config", str(config), *overrides]).fit
    data = data_module(experiment)
    if not isinstance(data, DataModule):
        raise UserError(f"{config}: {type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
    data.fetch()
    network: Any = built_task(experiment.model).network
    has_anchors = isinstance(network, Anchored)
    found = collect(data, AnchorFit(network) if has_anchors else None)
    data.remembered.confirm()
    anchors = "its anchors are compared with the boxes" if has_anchors else "it has no anchors"
    return found, f"{_data_name(data)}. Network: {type(network).__name__}, {anchors}."


def _data_name(data: "DataModule[Any]") -> str:
    return f"{type(data).__name__} in {data.root}"


def page(title: str, facts: str, statistics: "Statistics", splits: Sequence[str]) -> str:
    """Return the page as HTML."""
    from markupsafe import Markup, escape

    from lit_cv.pages import charts
    from lit_cv.pages.document import document

    rows = [(fact.name, [_text(fact, split) for split in splits]) for fact in statistics.facts]
    findings = Markup("").join(Markup("<li>{}</li>").format(text) for text in statistics.findings)
    body = Markup('{}\n{}\n<ul class="findings">{}</ul>\n<div class="charts">\n{}</div>').format(
        charts.legend(splits),
        charts.table(splits, rows),
        findings,
        Markup("").join(map(_drawn, statistics.charts)),
    )
    return document(title=str(escape(title)), facts=f"Statistics of {facts}", body=body, style=charts.style())


def _drawn(chart: "Chart") -> str:
    from datamodules.statistics.charts import Bars, HeatMap, Histogram, Matrix
    from lit_cv.pages import charts

    draw: Mapping[type, Callable[..., str]] = {
        Bars: charts.bars,
        Histogram: charts.histogram,
        HeatMap: charts.heat_map,
        Matrix: charts.matrix,
    }
    return draw[type(chart)](*chart)


def _summary(statistics: "Statistics", splits: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the console: the table, then the findings."""
    first = max(len(fact.name) for fact in statistics.facts)
    yield " " * first + "".join(f"{split:>12}" for split in splits)
    for fact in statistics.facts:
        yield fact.name.ljust(first) + "".join(f"{_text(fact, split):>12}" for split in splits)
    for finding in statistics.findings:
        yield textwrap.fill(finding, WIDTH, initial_indent="- ", subsequent_indent="  ")


def _text(fact: "Fact", split: str) -> str:
    value = fact.values[split]
    if math.isnan(value):
        return "–"
    return {"count": f"{value:,.0f}", "number": f"{value:.1f}", "share": f"{value:.1%}"}[fact.kind]


def _numbers(facts: Sequence["Fact"]) -> dict[str, float]:
    return {
        f"{split}/{fact.name}": float(value)
        for fact in facts
        for split, value in fact.values.items()
        if not math.isnan(value)
    }


def _refuse_foreign(output: Path) -> None:
    """Check that a file that would be overwritten is a page of this verb.

    Raises:
        UserError: It is another file.
    """
    if not output.exists():
        return
    try:
        own = output.is_file() and MARK in output.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        own = False
    if not own:
        raise UserError(f"{output} exists and is no page of `litcv stats`; choose another --output.")


def _write(output: Path, text: str) -> None:
    from lit_cv.runs.files import replaced

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replaced(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot write the page ({error.strerror}); choose another --output.") from None
