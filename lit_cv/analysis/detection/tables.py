"""Tables, figures and numbers of the findings about boxes and masks."""

from collections.abc import Iterator, Mapping

import numpy as np

from lit_cv.analysis import figures
from lit_cv.analysis.contract import Column, Figure, Number, Table, Value
from lit_cv.analysis.detection.confidence import Calibration
from lit_cv.analysis.detection.confusions import confusion_figure, confusion_table
from lit_cv.analysis.detection.regions import Averages, Regions
from lit_cv.analysis.detection.slices import group_table
from lit_cv.analysis.detection.tide import KINDS
from lit_cv.metrics.coco_tables import IouType

TITLES: dict[IouType, str] = {"bbox": "Boxes", "segm": "Masks", "keypoints": "Keypoints"}
NAMES: dict[IouType, str] = {"bbox": "", "segm": "mask ", "keypoints": "keypoint "}
PREFIXES: dict[IouType, str] = {"bbox": "", "segm": "mask_", "keypoints": "oks_"}
AVERAGES = {"map": "AP", "map_50": "AP at 0.5", "map_75": "AP at 0.75"}
AVERAGES |= {f"map_{size}": f"AP of {size} objects" for size in ("small", "medium", "large")}
TIDE = (
    "TIDE (Bolya et al. 2020, arXiv:2008.08115): the kind of each wrong detection (IoU at least 0.5 is a hit, up to "
    "0.1 background), and how much AP at IoU 0.5 would rise if one kind alone were fixed. FP: without any false "
    "positive; FN: with every object found."
)
LOST: dict[str, str] = {
    "Cls": "wrong classes", "Loc": "bad places", "Both": "wrong classes and places", "Dupe": "duplicates",
    "Bkg": "background", "Miss": "missed objects", "FP": "false positives", "FN": "objects without a match",
}  # fmt: skip
SHOWN_KINDS: dict[str, str] = {**KINDS, "FP": "all false positives", "FN": "all objects without a match"}


def averages(kind: IouType, found: Averages) -> dict[str, Number]:
    """Return COCO's average precisions as numbers."""
    prefix, name = PREFIXES[kind], NAMES[kind]
    return {
        f"{prefix}{key}": Number(value, f"{name}{AVERAGES[key]}", "percent", True)
        for key, value in found.numbers.items()
    }


def numbers(regions: Regions) -> dict[str, Number]:
    """Return the numbers that runs are compared by."""
    prefix, name = PREFIXES[regions.kind], NAMES[regions.kind]
    found = averages(regions.kind, regions.averages)
    for kind, words in LOST.items():
        found[f"{prefix}tide_{kind}"] = Number(regions.costs[kind], f"{name}AP lost to {words}", "percent", False)
    for group in regions.groups:
        if group.property not in ("all", "size", "neighbors"):
            continue
        words = "objects" if group.property == "all" else f"{group.name} objects"
        words = f"objects with {group.name}" if group.property == "neighbors" else words
        key = group.name.replace(" ", "_")
        found[f"{prefix}missed_{key}"] = Number(
            group.missed, f"missed {words}{' (masks)' if name else ''}", "count", False
        )
    found[f"{prefix}f1"] = Number(_at_best(regions)[2], f"{name}best F1", "percent", True)
    found[f"{prefix}ece"] = Number(regions.calibration.error, f"{name}calibration error", "percent", False)
    return found


def tables(regions: Regions) -> Iterator[Table]:
    """Yield the tables."""
    prefix, title = PREFIXES[regions.kind], TITLES[regions.kind]
    yield _errors(regions)
    yield group_table(prefix, f"{title}: groups of objects", list(regions.groups))
    yield _classes(regions)
    yield confusion_table(prefix, f"{title}: confusions", regions.confusion, regions.names)


def drawings(regions: Regions) -> Iterator[Figure]:
    """Yield the figures."""
    prefix, title = PREFIXES[regions.kind], TITLES[regions.kind]
    costs = {f"{kind}: {SHOWN_KINDS[kind]}": 100 * regions.costs[kind] for kind in SHOWN_KINDS}
    yield figures.bars(f"{prefix}tide", f"{title}: AP lost to each kind of error", TIDE, "points of AP at 0.5", costs)
    lines = {f"IoU {0.5 + 0.05 * k:.2g}": (np.arange(101) / 100, regions.averages.precision[k]) for k in (0, 5, 8)}
    about = "Precision interpolated at 101 recalls, mean over the classes with objects, as in COCO's AP."
    yield figures.curves(
        f"{prefix}precision_recall", f"{title}: precision and recall", about, ("recall", "precision"), lines
    )
    curve = regions.curve
    best = f"F1 is best at {curve.threshold:.2f}." if curve.f1.any() else "No detection is right."
    lines = {"F1": (curve.thresholds, curve.f1), "precision": (curve.thresholds, curve.precision),
             "recall": (curve.thresholds, curve.recall)}  # fmt: skip
    about = f"All detections with at least a score, of all classes together, at IoU 0.5. {best}"
    yield figures.curves(f"{prefix}f1", f"{title}: the threshold", about, ("lowest score", ""), lines)
    yield _reliability(prefix, title, regions.calibration)
    yield confusion_figure(prefix, f"{title}: confusion matrix", regions.confusion, regions.names, regions.threshold)


def _at_best(regions: Regions) -> tuple[float, float, float]:
    curve = regions.curve
    if not len(curve.f1):
        return float("nan"), 0.0, 0.0
    return float(curve.precision[curve.best]), float(curve.recall[curve.best]), float(curve.f1[curve.best])


def _errors(regions: Regions) -> Table:
    counts: Mapping[str, int] = {
        **regions.errors.counts(),
        "FP": int((~regions.right & ~regions.errors.ignored).sum()),
        "FN": int(regions.errors.unmatched.sum()),
    }
    rows: list[list[Value]] = [[kind, SHOWN_KINDS[kind], counts[kind], regions.costs[kind]] for kind in SHOWN_KINDS]
    columns = [Column("kind"), Column("meaning"), Column("number", "count"), Column("AP lost", "percent")]
    base = f" AP at IoU 0.5 of TIDE is {100 * regions.costs['AP']:.1f}; classes without objects count as 0 in it."
    title = f"{TITLES[regions.kind]}: kinds of errors"
    return Table(f"{PREFIXES[regions.kind]}errors", title, TIDE + base, columns, rows)


def _classes(regions: Regions) -> Table:
    columns = [Column("class"), Column("objects", "count"), Column("AP", "percent"), Column("AP at 0.5", "percent"),
               Column("precision", "percent"), Column("recall", "percent"), Column("best threshold", "number"),
               Column("best F1", "percent"), Column("ECE", "percent"), Column("missed", "count")]  # fmt: skip
    wanted, confusion = regions.found.wanted, regions.errors
    rows: list[list[Value]] = []
    for label, name in enumerate(regions.names, start=1):
        curve, reliability = regions.of_class(label)
        objects = int(((wanted["labels"] == label) & ~wanted["iscrowd"]).sum())
        above = int((curve.thresholds >= regions.threshold).sum()) - 1
        precision, recall = (curve.precision[above], curve.recall[above]) if above >= 0 else (np.nan, 0.0)
        best = (curve.threshold, float(curve.f1[curve.best])) if len(curve.f1) else (np.nan, np.nan)
        missed = int((confusion.missed & (wanted["labels"] == label)).sum())
        averages_ = regions.averages.by_class[label - 1], regions.averages.by_class_50[label - 1]
        recall = recall if objects else np.nan
        rows.append([name, objects, *map(float, (*averages_, precision, recall, *best, reliability.error)), missed])
    about = (
        f"AP of COCO; precision and recall at IoU 0.5 with a score of at least {regions.threshold:.2f}, where F1 of "
        "all classes is best; the threshold with the best F1 of each class; expected calibration error in ten bins "
        "(Guo et al. 2017; of detections: Kueppers et al. 2020, with the score alone). All in percent."
    )
    return Table(f"{PREFIXES[regions.kind]}classes", f"{TITLES[regions.kind]}: classes", about, columns, rows)


def _reliability(prefix: str, title: str, found: Calibration) -> Figure:
    filled = found.numbers > 0
    lines = {"detections": (found.score[filled], found.precision[filled])}
    about = (
        f"Share of true positives (IoU 0.5) among the detections of ten bins of scores; on the dotted line a score is a"
        f" "
        f"probability. Expected calibration error {100 * found.error:.1f} % (Guo et al. 2017)."
    )
    return figures.curves(
        f"{prefix}reliability", f"{title}: reliability of scores", about, ("score", "precision"), lines, diagonal=True
    )
