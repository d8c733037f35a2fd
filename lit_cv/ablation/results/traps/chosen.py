"""Finds values that were chosen on the images on which they are reported, and are therefore too good."""

import numpy as np

from lit_cv.ablation.results.identical import few
from lit_cv.ablation.results.scores import BEST, LAST, final_values
from lit_cv.ablation.results.study import Run, Study
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.results.traps.course import points
from lit_cv.ablation.sweep.labels import CLASS


def find(study: Study, table: Table) -> list[str]:
    """Return a sentence for ``--value best``, for early stopping, and for the best trial of a search."""
    return [*_best(table), *_stopping(study, table), *_search(study, table)]


def _best(table: Table) -> list[str]:
    if table.value != BEST:
        return []
    gains, counts = list[float](), list[int]()
    for row in table.rows:
        last = final_values(row.arm, table.metric, table.facts, LAST)
        gains += [abs(value - last[seed]) for seed, value in row.scores.items() if last.get(seed) is not None]  # type: ignore[operator]
        counts += [len(run.curve(table.metric)) for run in row.arm.runs.values()]
    if not gains:
        return []
    return [
        f"--value best: each value is the best of up to {max(counts)} validations, chosen on the images that it is "
        f"reported on. It is better than the last one by {points(table, float(np.mean(gains)))} on average, of which a "
        "part is luck; report --value last, or other images."
    ]


def _stopping(study: Study, table: Table) -> list[str]:
    split = table.metric.partition("/")[0]
    found = [
        (run, monitor) for _, run in study.runs for monitor in _monitors(run) if monitor.partition("/")[0] == split
    ]
    if not found:
        return []
    ended = sum(run.result.get("stopped_by") == "EarlyStopping" for run, _ in found)
    return [
        f"EarlyStopping ends runs by {few(dict.fromkeys(monitor for _, monitor in found))}, on the images that "
        f"{table.metric} is reported on ({ended} of {len(found)} runs ended so): the end of a run is chosen, and its "
        "value may be too good. Stop by other images, or give all arms the same steps."
    ]


def _monitors(run: Run) -> list[str]:
    """Return the metrics by which a run may stop early."""
    listed = run.config.get("trainer.callbacks") or []
    callbacks = [one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, dict)]
    stopping = [one for one in callbacks if str(one.get(CLASS)).rpartition(".")[2] == "EarlyStopping"]
    return [str((one.get("init_args") or one).get("monitor")) for one in stopping]


def _search(study: Study, table: Table) -> list[str]:
    trials = sum(bool(row.scores) for row in table.rows)
    if study.method == "grid" or trials < 2:
        return []
    return [
        f"The first row is the best of {trials} trials, chosen by {table.metric} on the images that it is reported on: "
        "its value is too good. Train it again with other seeds, beside the baseline, and report those runs."
    ]
