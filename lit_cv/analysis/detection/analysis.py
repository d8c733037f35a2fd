"""The analysis of detections: boxes, and what the network finds with them, masks and keypoints."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from lit_cv.analysis.contract import Analysis, Evaluated, Number, Table
from lit_cv.analysis.detection.examples import examples
from lit_cv.analysis.detection.keypoints import joint_table
from lit_cv.analysis.detection.regions import Regions, find_averages, find_regions
from lit_cv.analysis.detection.tables import averages, drawings, numbers, tables
from lit_cv.analysis.detection.words import sentences
from lit_cv.contract import HasJoints, provides
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.base import Array, Evaluation, to_array
from lit_cv.metrics.coco_tables import COCO_SIGMAS, IouType

KINDS: dict[str, IouType] = {"masks": "segm", "keypoints": "keypoints"}
"""The parts that are evaluated besides boxes, by the column of the predictions."""
WORDS = {"bbox": "", "segm": "Masks: "}  # at the beginning of a sentence
FLAGS = ("truncated", "occluded")  # optional columns of targets, besides ``difficult``


def analyze(run: Evaluated) -> Analysis:
    """Analyze the detections of a run: boxes, and masks and keypoints if it has them."""
    names = run.predictions.class_names
    evaluations, flags = _evaluations(run)
    boxes = evaluations["bbox"]
    found = [find_regions(kind, own, flags, names) for kind, own in evaluations.items() if kind != "keypoints"]
    values: dict[str, Number] = {}
    pages: list[Table] = []
    for regions in found:
        values |= numbers(regions)
        pages += tables(regions)
    if "keypoints" in evaluations:
        table, more = _joints(run, evaluations["keypoints"], found[0])
        pages.append(table)
        values |= more
    wrong = found[0].wrong_by_image(len(boxes.image_ids))
    return Analysis(
        title=f"Analysis of {run.name}",
        facts=f"{run.predictions.tasks[0]}, {len(run):,} images of {run.predictions.split}.",
        sentences=[f"{WORDS[regions.kind]}{text}" for regions in found for text in sentences(regions)],
        numbers=values,
        tables=pages,
        figures=[figure for regions in found for figure in drawings(regions)],
        images=list(examples(run, boxes, found[0])),
        scores=dict(zip(boxes.image_ids, wrong.astype(float).tolist(), strict=True)),
        score_words="errors",
        threshold=found[0].threshold,
    )


def _evaluations(run: Evaluated) -> tuple[dict[IouType, Evaluation], dict[str, Array]]:
    """Return predictions and targets as columns for each kind of shape, and the flags of the targets."""
    kinds: list[IouType] = ["bbox", *(kind for name, kind in KINDS.items() if name in run.predictions.columns)]
    metrics = {kind: COCOAveragePrecision(kind, sigmas=_sigmas(run)) for kind in kinds}
    flags: dict[str, list[Array]] = {name: [] for name in FLAGS}
    for found, target in run:
        for metric in metrics.values():
            metric.update([found], [target])
        for name in flags.keys() & target.keys():
            flags[name].append(to_array(target[name]).astype(bool))
    columns = {name: np.concatenate(parts) for name, parts in flags.items() if len(parts) == len(run) > 0}
    return {kind: metric.evaluation() for kind, metric in metrics.items()}, columns


def _joints(run: Evaluated, evaluation: Evaluation, boxes: Regions) -> tuple[Table, dict[str, Number]]:
    sigmas = _sigmas(run)
    names: Sequence[str] = [f"joint {place + 1}" for place in range(len(sigmas))]
    if provides(run.data, HasJoints):
        names = run.data.joint_names
    table, values = joint_table(evaluation, boxes.found, boxes.errors.matched, names, sigmas)
    precision = averages("keypoints", find_averages("keypoints", evaluation, len(boxes.names), sigmas))
    return table, precision | dict(values)


def _sigmas(run: Evaluated) -> Sequence[float]:
    return cast(Sequence[float], cast(Any, run.settings).get("sigmas") or COCO_SIGMAS)
