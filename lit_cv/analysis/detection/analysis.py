"""The analysis of detections: boxes, and what the network finds with them, masks and keypoints."""

from typing import cast

from lit_cv.analysis.contract import Analysis, Evaluated, Number
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.coco_tables import COCO_SIGMAS, IouType

COLUMNS: dict[str, IouType] = {"masks": "segm", "keypoints": "keypoints"}
NAMES: dict[IouType, str] = {"bbox": "", "segm": "mask ", "keypoints": "keypoint "}
PREFIXES: dict[IouType, str] = {"bbox": "", "segm": "mask_", "keypoints": "oks_"}
AVERAGES = {"map": "AP", "map_50": "AP at 0.5", "map_75": "AP at 0.75"}
AVERAGES |= {f"map_{size}": f"AP of {size} objects" for size in ("small", "medium", "large")}


def analyze(run: Evaluated) -> Analysis:
    """Analyze the detections of a run."""
    columns = run.predictions.columns
    kinds: list[IouType] = ["bbox", *(kind for name, kind in COLUMNS.items() if name in columns)]
    sigmas = run.settings.get("sigmas", COCO_SIGMAS)
    metrics = {kind: COCOAveragePrecision(kind, run.predictions.class_names, sigmas) for kind in kinds}
    for found, target in run:
        for metric in metrics.values():
            metric.update([found], [target])
    numbers: dict[str, Number] = {}
    for kind, metric in metrics.items():
        numbers |= averages(kind, metric)
    facts = f"{len(run)} images of {run.predictions.split}, {', '.join(run.predictions.tasks[:1])}"
    return Analysis(f"Analysis of {run.name}", facts, [], numbers, [], [])


def averages(kind: IouType, metric: COCOAveragePrecision) -> dict[str, Number]:
    """Return COCO's average precisions; NaN where there is nothing to evaluate."""
    values = metric.compute()
    found = {name: cast(float, values[name]) for name in AVERAGES if name in values}
    return {
        f"{PREFIXES[kind]}{name}": Number(
            float("nan") if value == -1 else value, f"{NAMES[kind]}{AVERAGES[name]}", "percent", True
        )
        for name, value in found.items()
    }
